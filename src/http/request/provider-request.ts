import { parse, type ParsedUrlQuery } from 'node:querystring';
import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { SECRET_OPERATIONS, type SecretOperation, WORKSPACE_NAME } from '../../authz/grant';
import type { DomainError, Reason } from '../../errors/domain-error';
import type { Caller } from '../../authn/caller';
import type { RequestCleanup } from '../server/request-cleanup';

/** Where a request goes: what routes, rate limits, log and metrics all go by. */
interface RequestTarget {
  readonly path: string;
  readonly query: ParsedUrlQuery;
}

/** Of a request whose own target was refused. */
export const NO_TARGET: RequestTarget = { path: '', query: {} };

/**
 * Origin form (RFC 9112, 3.2.1): an absolute path with an optional query. Printable ASCII without `#` and `\`, which Node's
 * URL parsers, and so the router, read otherwise than as they stand.
 */
const ORIGIN_FORM = /^\/(?!\/)[!"$-[\]-~]*$/;
const MAX_PARAMETERS = 16;

/** The target of a request; the rule that it breaks where it has none. */
export function parseTarget(url: string): RequestTarget | string {
  if (!ORIGIN_FORM.test(url)) return 'must be an absolute path, with or without a query, and no URL';
  const queryAt = url.indexOf('?');
  if (queryAt < 0) return { path: url, query: parse('') };
  const text = url.slice(queryAt + 1);
  // querystring drops what comes after its thousandth parameter.
  if (text.split('&', MAX_PARAMETERS + 1).length > MAX_PARAMETERS)
    return `must have at most ${MAX_PARAMETERS} query parameters`;
  return { path: url.slice(0, queryAt), query: parse(text, '&', '=', { maxKeys: 0 }) };
}

/** What this service adds to a request on its way through the pipeline. */
export interface ProviderRequest extends Request {
  /** Taken over from X-Request-Id when sane, made otherwise. */
  id: string;
  /** Parsed once; `url` is for Express alone. */
  target: RequestTarget;
  cleanup: RequestCleanup;
  /** Why it is refused before anybody looks at it. */
  refusal: DomainError | undefined;
  /** True for a call under system-server's own path, which is answered in its wrapping. */
  asSystemServer?: boolean;
  /** True where the peer is proven to be a system-server or a trusted proxy, which may send a ProxyRequest. */
  hasProvenPeer?: boolean;
  /** True where the body named the caller, and was put into the direct form. */
  isProxied?: boolean;
  /** Of its body, once that was read. */
  bodyBytes?: number;
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
interface AccessAttempt {
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

/** Asked for every few seconds, by machines: neither logged nor counted. A probe has no body. */
export function isProbe(request: IncomingMessage): boolean {
  const path = pathOf(request);
  if (path !== '/livez' && path !== '/readyz') return false;
  return (request.method === 'GET' || request.method === 'HEAD') && !carriesBody(request);
}

/** Whether a body was announced. */
export function carriesBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The operation that a path names; undefined for other routes. */
export function operationOf(path: string): SecretOperation | undefined {
  return OPERATION_AT.get(path);
}

/** The workspace of a query, for logs, only if it is a workspace's name at all. */
export function workspaceOf(query: unknown): string | undefined {
  const workspace: unknown =
    typeof query === 'object' && query !== null && 'workspace' in query ? query.workspace : undefined;
  return typeof workspace === 'string' && WORKSPACE_NAME.test(workspace) ? workspace : undefined;
}

export function pathOf(request: IncomingMessage): string {
  return (request as ProviderRequest).target.path;
}
