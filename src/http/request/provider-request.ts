import {
  createParamDecorator,
  type CustomDecorator,
  type ExecutionContext,
  SetMetadata,
} from '@nestjs/common';
import { parse, type ParsedUrlQuery } from 'node:querystring';
import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { PROVIDER, SECRET_OPERATIONS, type SecretOperation } from '../../authz/grant';
import type { Reason } from '../../errors/domain-error';
import type { CallAudit, CallContext } from '../../secrets/secret';
import type { MonotonicTime } from '../../time/clock';
import type { Caller } from '../../authn/caller';
import type { Subject } from '../../limits/admission';
import {
  accountOf,
  type RateLimits,
  type RateLimitSubject,
  type RequestKind,
} from '../../limits/rate-limits';
import type { RequestCleanup } from '../server/request-cleanup';

/** A request, with what the steps of the pipeline add to it. */
export interface ProviderRequest extends Request {
  /** The caller's X-Request-Id if it is well-formed, else a new one. */
  id: string;
  /** What the request line says, parsed once; `url` is for Express only. */
  target: RequestTarget;
  cleanup: RequestCleanup;
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
  /** By which credentials caller or user were proven; means nothing without them. Set by the guard, for the audit trail. */
  provenBy?: readonly string[];
  /** Who acts for `user`. Set by the guard on a @UserRoute(). */
  administrator?: string;
  /** Present where the request is audited. */
  audit?: RequestAudit;
  /** Why the request failed; set by the error filter, or by the route for access tokens. */
  failure?: Reason;
  /** How old the answer is, where it is from the cache since the store could not be asked; for the log only. */
  staleForMs?: number;
  /** Set by the route for access tokens, for the log only. */
  access?: AccessAttempt;
}

/** Records the request in the audit trail. */
export interface RequestAudit extends CallAudit {
  /** Resolves once the attempt of a change is recorded that is no write of a secret. @throws AuditUnavailable (503); nothing may be changed then */
  changes(): Promise<void>;
  /** Resolves once the outcome is recorded. @throws AuditUnavailable, WriteNotAudited (503): the answer must not leave */
  ended(): Promise<void>;
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

/** What a request asks for, parsed once for the routes, the rate limits, the log and the metrics. */
interface RequestTarget {
  /** Of a call under system-server's own path, the rest behind its prefix. */
  readonly path: string;
  readonly query: ParsedUrlQuery;
  /** The form of the answer, where the caller has one of its own. */
  readonly responseStyle?: 'documented' | 'sidecar' | undefined;
  /** The operation that the path names; undefined for other routes. */
  readonly operation: SecretOperation | undefined;
  /** Whether the request reads or writes; undefined for routes that no app and no user calls. */
  readonly kind: RequestKind | undefined;
  /** True for a call under system-server's own path, which is answered as system-server answers. */
  readonly asSystemServer: boolean;
  /** True for a probe, which machines send every few seconds: it is neither logged nor counted, and has no body. */
  readonly isProbe: boolean;
}

/** The target of a request whose own one was refused. */
export const NO_TARGET: RequestTarget = {
  path: '',
  query: {},
  operation: undefined,
  kind: undefined,
  asSystemServer: false,
  isProbe: false,
};

/** Returns the parsed target, or the rule that it breaks. */
export function parseTarget(request: IncomingMessage): RequestTarget | string {
  const { url = '' } = request;
  if (!ORIGIN_FORM.test(url)) return 'must be an absolute path, with or without a query, and no URL';
  const queryAt = url.includes('?') ? url.indexOf('?') : url.length;
  const text = url.slice(queryAt + 1);
  // querystring silently drops all parameters after the thousandth.
  if (text.split('&', MAX_PARAMETERS + 1).length > MAX_PARAMETERS)
    return `must have at most ${MAX_PARAMETERS} query parameters`;
  const query = parse(text, '&', '=', { maxKeys: 0 });
  const asked = url.slice(0, queryAt);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  const path = asked.startsWith(SYSTEM_SERVER_PREFIX) ? asked.slice(SYSTEM_SERVER_PREFIX.length) : asked;
  const operation = OPERATION_AT.get(path);
  if (operation !== undefined) {
    const kind = KIND_OF[operation];
    return { path, query, operation, kind, asSystemServer: path !== asked, isProbe: false };
  }
  const kindOfAdmin = asked.startsWith('/admin/') ? (isRead ? 'read' : 'write') : undefined;
  const kind = asked === '/explain' ? 'read' : kindOfAdmin;
  const isProbe = isRead && (asked === '/livez' || asked === '/readyz') && !carriesBody(request);
  return { path: asked, query, operation, kind, asSystemServer: false, isProbe };
}

/** Origin form (RFC 9112, 3.2.1) in printable ASCII, without `#` and `\`, which Node's URL parsers, and so the router, do not take literally. */
const ORIGIN_FORM = /^\/(?!\/)[!"$-[\]-~]*$/;
const MAX_PARAMETERS = 16;

/** Apps that call system-server itself use the same operations under a longer path. */
export const SYSTEM_SERVER_PREFIX = `/system-server/v1alpha1/${PROVIDER.dataType}/${PROVIDER.group}/${PROVIDER.version}`;

const OPERATION_AT: ReadonlyMap<string, SecretOperation> = new Map(
  SECRET_OPERATIONS.map((operation) => [`/${operation}`, operation]),
);

const KIND_OF = {
  RetrieveSecret: 'read',
  ListSecret: 'read',
  CreateSecret: 'write',
  UpdateSecret: 'write',
  DeleteSecret: 'write',
} as const satisfies Record<SecretOperation, RequestKind>;

/** Returns true where the headers announce a body. */
export function carriesBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Whose share of the capacity a request uses, and whose rate limits; strangers have none. */
interface RequestSubject extends Subject {
  readonly limited?: RateLimitSubject;
}

/** Returns the authenticated caller, or the address that the request came from before authentication and on routes without it. */
export function subjectOf({ caller, user, target, socket, hasProvenPeer }: ProviderRequest): RequestSubject {
  const { kind } = target;
  if (caller !== undefined) {
    const limited = { app: caller.app, user: caller.user };
    return { key: accountOf('app', limited) ?? caller.user, kind, limited };
  }
  if (user !== undefined) return { key: user, kind, limited: { user } };
  // A proven proxy is trusted, though only its body will name the caller.
  return { key: `address ${socket.remoteAddress ?? ''}`, kind: hasProvenPeer === true ? kind : undefined };
}

/** A body or an answer costs as much as one more request for each of these bytes, and is charged so. */
export const BYTES_OF_ONE_REQUEST = 64 * 1024;

/** Charges the rate limit of the authenticated caller for a body or an answer. */
export function chargeBytes(rateLimits: RateLimits, { kind, limited }: RequestSubject, bytes: number): void {
  const requests = Math.floor(bytes / BYTES_OF_ONE_REQUEST);
  if (requests > 0 && kind !== undefined && limited !== undefined) rateLimits.charge(kind, limited, requests);
}

/** Makes the contexts of the calls that a request makes of the store. */
export class CallContexts {
  /** @param timeoutMs how long the calls of one request may take */
  constructor(
    private readonly timeoutMs: number,
    private readonly time: MonotonicTime,
  ) {}

  /** The signal is asked for only by a call that waits: making one takes longer than a read from memory. */
  of({
    cleanup,
    audit,
  }: Pick<CallContext, 'audit'> & { readonly cleanup: Pick<CallContext, 'signal'> }): CallContext {
    return {
      deadline: { endsAtMs: this.time.nowMs() + this.timeoutMs },
      get signal() {
        return cleanup.signal;
      },
      audit,
    };
  }
}

/** Who may call a route. A route that is not marked is an app's. */
export type RouteAccess = 'app' | 'user' | 'event-sender' | 'public';

export const ROUTE_ACCESS = 'route-access';

/** Marks a route that may be called without credentials. */
export const PublicRoute = (): CustomDecorator => allow('public');

/** Marks a route of the Settings app, which calls it with the user's token. */
export const UserRoute = (): CustomDecorator => allow('user');

/** Marks a route for the cluster's system events, whose sender must be proven; no app and no user may call it. */
export const EventRoute = (): CustomDecorator => allow('event-sender');

/** The app that the guard authenticated. */
export const CurrentCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<ProviderRequest>();
  if (caller === undefined) throw new Error("@CurrentCaller() on a route that is not an app's");
  return caller;
});

/** The user whom the guard authenticated on a @UserRoute(). */
export const CurrentUser = createParamDecorator((_data: unknown, context: ExecutionContext): string => {
  const { user } = context.switchToHttp().getRequest<ProviderRequest>();
  if (user === undefined) throw new Error('@CurrentUser() on a route that is not a @UserRoute()');
  return user;
});

function allow(access: RouteAccess): CustomDecorator {
  return SetMetadata(ROUTE_ACCESS, access);
}
