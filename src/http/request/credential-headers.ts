import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { parse } from 'content-type';
import type { Peer } from '../../authn/peer-verifier';
import { CrossSiteRequest, Unauthenticated } from '../../errors/request-errors';

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

/** Browsers send about twenty headers, and proxies add a few. Node silently drops all after the first 1,000. */
export const MAX_HEADER_PAIRS = 100;

/**
 * Records whether the request was forwarded, or may have been since it has too many headers; to be called for every request, in the order of arrival. A proxy that is
 * asked for a WebSocket may hand the connection over to its client, whatever we answer (system-server's does): everything
 * that follows on the connection is then the client's.
 */
export function recordForwarding(request: IncomingMessage): void {
  const { headersDistinct, rawHeaders, socket } = request;
  const isKnown = FORWARDING_HEADERS.some((name) => headersDistinct[name] !== undefined);
  if (isKnown || rawHeaders.length > 2 * MAX_HEADER_PAIRS) forwardingConnections.add(socket);
}

/** The cookie in which Olares keeps the user's token after the login. */
const LOGIN_COOKIE = 'auth_token';

/**
 * Returns the values of all login cookies that are not empty, in the order in which they were sent. Of the thousands of pairs
 * for which a head has room, only those that may be one are taken apart.
 */
export function loginCookiesIn(request: IncomingMessage): readonly string[] {
  return (request.headersDistinct['cookie'] ?? [])
    .flatMap((header) => header.split(';').filter((pair) => pair.includes(LOGIN_COOKIE)))
    .map((pair) => pair.split(/=(.*)/s, 2).map((part) => part.trim()))
    .filter(([name, value]) => name === LOGIN_COOKIE && value !== undefined && value !== '')
    .map(([, value = '']) => value);
}

/**
 * Returns the user's token of a call to the Settings routes, the only ones that accept the cookie: X-Authorization, or
 * without it the login cookie. A browser attaches the cookie by itself to whatever any page of the same site asks for,
 * and each app of the user is such a page, so that SameSite does not help: the request must then be one that only a page
 * of this very origin can make. The same token in both is the header's; several that differ name no one user.
 * @throws Unauthenticated (401) where the credentials differ, CrossSiteRequest (403)
 */
export function settingsTokenIn(request: IncomingMessage): string | undefined {
  const header = credentialHeader(request, 'x-authorization');
  const cookies = loginCookiesIn(request);
  if (header !== undefined) {
    if (cookies.some((cookie) => cookie !== header)) throw new Unauthenticated('Cookie');
    return header;
  }
  const [cookie, second] = cookies;
  // A page of another app can add a second cookie for a longer path, which would come first.
  if (second !== undefined) throw new Unauthenticated('Cookie');
  if (cookie !== undefined) requireSameOrigin(request);
  return cookie;
}

/** What a browser says of a request by the page itself, and of an address that its user typed. */
const OWN_SITES = ['same-origin', 'none'];

/**
 * Each check suffices for today's browsers; older ones send no Sec-Fetch-Site, and some no Origin. A JSON content type
 * cannot be sent to another origin without asking that one first, which is never allowed here.
 */
function requireSameOrigin(request: IncomingMessage): void {
  const site = request.headersDistinct['sec-fetch-site']?.join(', ');
  if (site !== undefined && !OWN_SITES.includes(site)) throw new CrossSiteRequest('Sec-Fetch-Site');
  const origin = request.headersDistinct['origin']?.join(', ');
  if (origin !== undefined && !isOwnOrigin(origin, request)) throw new CrossSiteRequest('Origin');
  if (request.method === 'GET' || request.method === 'HEAD') return;
  const { type } = parse(request.headers['content-type'] ?? '');
  if (type !== 'application/json') throw new CrossSiteRequest('Content-Type');
}

const HOST = /^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/;

/**
 * Compares the origin with the host that the browser asked for: in Host, or in X-Forwarded-Host where the frontend changed
 * Host. A page can set neither (the latter only after a preflight), and who writes them without a browser holds the token
 * anyway. The scheme is not compared, since TLS ends before the frontend.
 */
function isOwnOrigin(origin: string, request: IncomingMessage): boolean {
  const own = URL.canParse(origin) ? new URL(origin) : undefined;
  // Browsers send the serialised form; that of an opaque origin is `null`.
  if (own?.origin !== origin) return false;
  return ['host', 'x-forwarded-host'].some((name) => {
    const host = request.headersDistinct[name]?.join(', ') ?? '';
    const asked = `${own.protocol}//${host}`;
    return HOST.test(host) && URL.canParse(asked) && new URL(asked).host === own.host;
  });
}
