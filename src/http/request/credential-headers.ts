import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Unauthenticated } from '../../errors/request-errors';
import type { Peer } from '../../authn/peer-verifier';

/** The names that a user may have: those of Kubernetes, and capitals. */
export const PLAIN_USER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

const BEARER = /^Bearer ([^\s,]+)$/;

/**
 * The headers of a forwarded request: HTTP proxies (also system-server's RBAC proxy) add the first three, system-server's
 * route `/system-server/v2` requires the next, and an RBAC proxy names the caller in the last ones.
 */
const FORWARDING_HEADERS = [
  'x-forwarded-for',
  'forwarded',
  'x-real-ip',
  'x-app-key',
  'x-remote-user',
  'x-remote-group',
  'x-remote-groups',
  'upgrade',
];

/** The connections on which a request was forwarded, be it the one that is handled now. */
const forwardingConnections = new WeakSet<Socket>();

/**
 * Returns a header; undefined where it is missing or empty. The values of one that was sent twice are joined with a comma,
 * which verifies with nothing; node:http itself would silently drop the second Authorization.
 */
export function credentialHeader(request: IncomingMessage, name: string): string | undefined {
  const value = request.headersDistinct[name]?.join(', ');
  return value === '' ? undefined : value;
}

/** Returns who is at the other end of the connection. @throws Unauthenticated where Authorization is not a bearer token */
export function peerOf(request: IncomingMessage): Peer {
  const authorization = credentialHeader(request, 'authorization');
  const bearer = BEARER.exec(authorization ?? '')?.[1];
  if (authorization !== undefined && bearer === undefined) throw new Unauthenticated('Authorization');
  return { address: request.socket.remoteAddress, bearer };
}

/** Returns true where the peer forwards what somebody else wrote, or did so before on this connection. */
export function isForwarded(request: IncomingMessage): boolean {
  return forwardingConnections.has(request.socket);
}

/**
 * Records whether the request was forwarded; to be called for every request, in the order of arrival. A proxy that is
 * asked for a WebSocket may hand the connection over to its client, whatever we answer (system-server's does): everything
 * that follows on the connection is then the client's.
 */
export function recordForwarding(request: IncomingMessage): void {
  const { headersDistinct, socket } = request;
  if (FORWARDING_HEADERS.some((name) => headersDistinct[name] !== undefined))
    forwardingConnections.add(socket);
}
