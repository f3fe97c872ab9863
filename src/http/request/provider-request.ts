import { parse, type ParsedUrlQuery } from 'node:querystring';
import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { SECRET_OPERATIONS, type SecretOperation, WORKSPACE_NAME } from '../../authz/grant';
import type { DomainError, Reason } from '../../errors/domain-error';
import type { Caller } from '../../authn/caller';
import type { RequestCleanup } from '../server/request-cleanup';

/** A request, with what the steps of the pipeline add to it. */
export interface ProviderRequest extends Request {
  /** The caller's X-Request-Id if it is well-formed, else a new one. */
  id: string;
  /** Parsed once; `url` is for Express only. */
  target: RequestTarget;
  cleanup: RequestCleanup;
  /** Why the request is refused before it is authenticated. */
  refusal: DomainError | undefined;
  /** True for a call under system-server's own path, which is answered as system-server answers. */
  asSystemServer?: boolean;
  /** True where the peer is proven to be a system-server or a trusted proxy, which may send a ProxyRequest. */
  hasProvenPeer?: boolean;
  /** True where the body was a ProxyRequest that named the caller and was unwrapped. */
  isProxied?: boolean;
  /** The size of the body, once it was read. */
  bodyBytes?: number;
  /** Set by the guard, on every route that is not public. */
  caller?: Caller;
  /** Set by the guard on a @UserRoute(). */
  user?: string;
  /** Why the request failed; set by the error filter, or by the route for access tokens. */
  failure?: Reason;
  /** Set by the route for access tokens, for the log only. */
  access?: AccessAttempt;
}

/** The target of a request, parsed once for the routes, the rate limits, the log and the metrics. */
interface RequestTarget {
  readonly path: string;
  readonly query: ParsedUrlQuery;
}

/** A request for an access token, as it is logged. Names are those of the installed app, never what the caller wrote. */
interface AccessAttempt {
  /** The app that proved itself. */
  readonly app?: string;
  readonly user?: string;
  /** The app whose key was sent with a refused proof; anybody may have sent it. */
  readonly claimedApp?: string | undefined;
  readonly claimedUser?: string | undefined;
  /** Why the proof was refused. */
  readonly cause?: string;
  /** How many seconds the proof's timestamp is ahead of our clock, where that is the cause. */
  readonly skewS?: number;
}

/** The target of a request whose own one was refused. */
export const NO_TARGET: RequestTarget = { path: '', query: {} };

/** Returns the parsed target, or the rule that it breaks. */
export function parseTarget(url: string): RequestTarget | string {
  if (!ORIGIN_FORM.test(url)) return 'must be an absolute path, with or without a query, and no URL';
  const queryAt = url.indexOf('?');
  if (queryAt < 0) return { path: url, query: parse('') };
  const text = url.slice(queryAt + 1);
  // querystring silently drops all parameters after the thousandth.
  if (text.split('&', MAX_PARAMETERS + 1).length > MAX_PARAMETERS)
    return `must have at most ${MAX_PARAMETERS} query parameters`;
  return { path: url.slice(0, queryAt), query: parse(text, '&', '=', { maxKeys: 0 }) };
}

/**
 * Origin form (RFC 9112, 3.2.1): an absolute path with an optional query. Printable ASCII without `#` and `\`, which Node's
 * URL parsers, and so the router, do not take literally.
 */
const ORIGIN_FORM = /^\/(?!\/)[!"$-[\]-~]*$/;
const MAX_PARAMETERS = 16;

const OPERATION_AT: ReadonlyMap<string, SecretOperation> = new Map(
  SECRET_OPERATIONS.map((operation) => [`/${operation}`, operation]),
);

/** Returns true for a probe, which machines send every few seconds: it is neither logged nor counted, and has no body. */
export function isProbe(request: IncomingMessage): boolean {
  const path = pathOf(request);
  if (path !== '/livez' && path !== '/readyz') return false;
  return (request.method === 'GET' || request.method === 'HEAD') && !carriesBody(request);
}

/** Returns true where the headers announce a body. */
export function carriesBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Returns the operation that a path names; undefined for other routes. */
export function operationOf(path: string): SecretOperation | undefined {
  return OPERATION_AT.get(path);
}

/** Returns the workspace of a query for the log; undefined where it is no valid name of a workspace. */
export function workspaceOf(query: unknown): string | undefined {
  const workspace: unknown =
    typeof query === 'object' && query !== null && 'workspace' in query ? query.workspace : undefined;
  return typeof workspace === 'string' && WORKSPACE_NAME.test(workspace) ? workspace : undefined;
}

export function pathOf(request: IncomingMessage): string {
  return (request as ProviderRequest).target.path;
}
