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

const KIND_OF = {
  RetrieveSecret: 'read',
  ListSecret: 'read',
  CreateSecret: 'write',
  UpdateSecret: 'write',
  DeleteSecret: 'write',
} as const satisfies Record<SecretOperation, RequestKind>;

/** Whether a request reads or writes; undefined for what no app and no user calls. */
export function kindOf(request: IncomingMessage): RequestKind | undefined {
  const path = pathOf(request);
  const operation = operationOf(path);
  if (operation !== undefined) return KIND_OF[operation];
  if (!path.startsWith('/admin/')) return undefined;
  return request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write';
}

/** The authenticated caller; undefined before that is known, and where nobody is asked. */
export function rateLimitSubjectOf({ caller, user }: ProviderRequest): RateLimitSubject | undefined {
  if (caller !== undefined) return { app: caller.app, user: caller.user };
  return user === undefined ? undefined : { user };
}

/** On whose share a request goes: the authenticated caller's, or that of the address which it came from. */
export function subjectOf(request: ProviderRequest): Subject {
  const rateLimitSubject = rateLimitSubjectOf(request);
  const address = `address ${request.socket.remoteAddress ?? ''}`;
  if (rateLimitSubject !== undefined)
    return { key: accountOf('app', rateLimitSubject) ?? rateLimitSubject.user, kind: kindOf(request) };
  // A proven proxy is no stranger, though its body must tell for whom it speaks.
  return { key: address, kind: request.hasProvenPeer === true ? kindOf(request) : undefined };
}

/** A body or an answer counts as one more request for each so many bytes, since it costs as much. */
const BYTES_OF_ONE_REQUEST = 64 * 1024;

/** Takes what so many bytes cost from the rate limit of the authenticated caller. */
export function chargeBytes(rateLimits: RateLimits, request: ProviderRequest, bytes: number): void {
  const [kind, rateLimitSubject] = [kindOf(request), rateLimitSubjectOf(request)];
  if (kind !== undefined && rateLimitSubject !== undefined)
    rateLimits.charge(kind, rateLimitSubject, Math.floor(bytes / BYTES_OF_ONE_REQUEST));
}
