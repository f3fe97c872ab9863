import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { SECRET_OPERATIONS, type SecretOperation } from '../grants/grant';
import { WORKSPACE_NAME } from '../grants/workspace-name';
import type { Reason } from '../errors/domain-error';
import type { Caller } from '../identity/caller';

/** What this service adds to a request on its way through the pipeline. */
export interface ProviderRequest extends Request {
  /** Taken over from X-Request-Id when sane, made otherwise. */
  id: string;
  /** True for a call under system-server's own path, which is answered in its wrapping. */
  asSystemServer?: boolean;
  /** True where the body named the caller, and was put into the direct form. */
  isProxied?: boolean;
  /** Set by the guard, on every route that is not public. */
  caller?: Caller;
  /** Set by the guard on a @UserRoute(). */
  user?: string;
  /** Why it failed; set where the failure becomes an answer: by the error filter, or by the route for access tokens. */
  failure?: Reason;
  /** Set by the route for access tokens, for the log alone. */
  access?: AccessAttempt;
}

/** What is known of a request for an access token. Names are those of the installed app, never what the caller wrote. */
export interface AccessAttempt {
  /** The app that proved itself. */
  readonly app?: string;
  readonly user?: string;
  /** The app whose key was sent along with a proof that was refused; anybody may have sent it. */
  readonly claimedApp?: string | undefined;
  readonly claimedUser?: string | undefined;
  /** Why the proof was refused. */
  readonly cause?: string;
  /** How far the proof's timestamp is ahead of our clock, where that is the cause. */
  readonly skewS?: number;
}

const OPERATION_AT: ReadonlyMap<string, SecretOperation> = new Map(
  SECRET_OPERATIONS.map((operation) => [`/${operation}`, operation]),
);

/** Asked for every few seconds, by machines: neither logged nor counted. */
export function isProbe(request: IncomingMessage): boolean {
  const path = pathOf(request);
  return path === '/livez' || path === '/readyz';
}

/** The operation that a path names, for logs; undefined for other routes. */
export function operationOf(path: string): SecretOperation | undefined {
  return OPERATION_AT.get(path);
}

/** The workspace of a query, for logs, only if it is a workspace's name at all. */
export function workspaceOf(query: unknown): string | undefined {
  const workspace: unknown =
    typeof query === 'object' && query !== null && 'workspace' in query ? query.workspace : undefined;
  return typeof workspace === 'string' && WORKSPACE_NAME.test(workspace) ? workspace : undefined;
}

/** The path as it was sent; Express's own `path` is cut where a middleware is mounted. */
export function pathOf(request: IncomingMessage): string {
  const { originalUrl, url } = request as Partial<ProviderRequest>;
  const sent = originalUrl ?? url ?? '';
  const end = sent.indexOf('?');
  return end < 0 ? sent : sent.slice(0, end);
}
