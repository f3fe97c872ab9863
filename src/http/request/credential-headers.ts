import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Unauthenticated } from '../../errors/authn-errors';
import type { Peer } from '../../authn/peer-verifier';

/** What a user may be called: as Kubernetes names things, with room for capitals. */
export const PLAIN_USER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

const BEARER = /^Bearer ([^\s,]+)$/;

/**
 * What somebody adds who passes a call on, body and all: HTTP proxies (system-server's RBAC proxy is one) the first three,
 * system-server's route `/system-server/v2` insists on the next, and an RBAC proxy names the caller in the last ones.
 */
const PASSED_ON = [
  'x-forwarded-for',
  'forwarded',
  'x-real-ip',
  'x-app-key',
  'x-remote-user',
  'x-remote-group',
  'x-remote-groups',
];

/** Connections on which something was passed on once. */
const passingOn = new WeakSet<Socket>();

/**
 * Undefined where it is missing or empty. One that was sent twice comes joined with a comma, which nothing verifies with;
 * node:http itself would drop the second Authorization unseen.
 */
export function credentialHeader(request: IncomingMessage, name: string): string | undefined {
  const value = request.headersDistinct[name]?.join(', ');
  return value === '' ? undefined : value;
}

/** @throws Unauthenticated where an Authorization was sent that is no bearer token */
export function bearerIn(request: IncomingMessage): string | undefined {
  const authorization = credentialHeader(request, 'authorization');
  if (authorization === undefined) return undefined;
  const token = BEARER.exec(authorization)?.[1];
  if (token === undefined) throw new Unauthenticated('Authorization');
  return token;
}

/** Who is at the other end of the connection. @throws Unauthenticated as bearerIn */
export function peerOf(request: IncomingMessage): Peer {
  return { address: request.socket.remoteAddress, bearer: bearerIn(request) };
}

/** X-BFL-USER, where it is one plain name. It says who, and proves nothing. */
export function namedUserIn(request: IncomingMessage): string | undefined {
  const user = credentialHeader(request, 'x-bfl-user');
  return user !== undefined && PLAIN_USER.test(user) ? user : undefined;
}

/** Whether the peer merely passes on what somebody else wrote, or did so before on this connection. */
export function isForwarded(request: IncomingMessage): boolean {
  return passingOn.has(request.socket) || carriesAnother(request);
}

/**
 * To be told of every request, in the order in which they arrive. A proxy that is asked for a WebSocket may hand the
 * connection over to whoever asked, whatever we answer (system-server's does): all that follows on it is theirs.
 */
export function noteWhoWrites(request: IncomingMessage): void {
  if (carriesAnother(request) || request.headersDistinct['upgrade'] !== undefined)
    passingOn.add(request.socket);
}

function carriesAnother(request: IncomingMessage): boolean {
  return PASSED_ON.some((name) => request.headersDistinct[name] !== undefined);
}
