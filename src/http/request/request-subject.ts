import type { IncomingMessage } from 'node:http';
import type { SecretOperation } from '../../authz/grant';
import type { Subject } from '../../limits/admission';
import {
  accountOf,
  type RateLimits,
  type RequestKind,
  type RateLimitSubject,
} from '../../limits/rate-limits';
import { operationOf, pathOf, type ProviderRequest } from './provider-request';

/** Returns whether a request reads or writes; undefined for routes that no app and no user calls. */
export function kindOf(request: IncomingMessage): RequestKind | undefined {
  const path = pathOf(request);
  const operation = operationOf(path);
  if (operation !== undefined) return KIND_OF[operation];
  if (!path.startsWith('/admin/')) return undefined;
  return request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write';
}

/** Returns whose share of the capacity a request uses: the authenticated caller's, or that of the address it came from. */
export function subjectOf(request: ProviderRequest): Subject {
  const rateLimitSubject = rateLimitSubjectOf(request);
  const address = `address ${request.socket.remoteAddress ?? ''}`;
  if (rateLimitSubject !== undefined)
    return { key: accountOf('app', rateLimitSubject) ?? rateLimitSubject.user, kind: kindOf(request) };
  // A proven proxy is trusted, though only its body will name the caller.
  return { key: address, kind: request.hasProvenPeer === true ? kindOf(request) : undefined };
}

/** Returns the authenticated caller; undefined before authentication, and on routes without it. */
export function rateLimitSubjectOf({ caller, user }: ProviderRequest): RateLimitSubject | undefined {
  if (caller !== undefined) return { app: caller.app, user: caller.user };
  return user === undefined ? undefined : { user };
}

/** Charges the rate limit of the authenticated caller for a body or an answer. */
export function chargeBytes(rateLimits: RateLimits, request: ProviderRequest, bytes: number): void {
  const [kind, rateLimitSubject] = [kindOf(request), rateLimitSubjectOf(request)];
  if (kind !== undefined && rateLimitSubject !== undefined)
    rateLimits.charge(kind, rateLimitSubject, Math.floor(bytes / BYTES_OF_ONE_REQUEST));
}

const KIND_OF = {
  RetrieveSecret: 'read',
  ListSecret: 'read',
  CreateSecret: 'write',
  UpdateSecret: 'write',
  DeleteSecret: 'write',
} as const satisfies Record<SecretOperation, RequestKind>;

/** A body or an answer costs as much as one more request for each of these bytes, and is charged so. */
const BYTES_OF_ONE_REQUEST = 64 * 1024;
