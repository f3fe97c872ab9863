import type { IncomingMessage } from 'node:http';
import { parse } from 'content-type';
import { CrossSiteRequest, Unauthenticated } from '../../errors/request-errors';
import { credentialHeader } from './credential-headers';

/** The cookie in which Olares keeps the user's token after the login. */
const LOGIN_COOKIE = 'auth_token';

/** Returns the values of all login cookies that are not empty, in the order in which they were sent. */
export function loginCookiesIn(request: IncomingMessage): readonly string[] {
  return (request.headersDistinct['cookie'] ?? [])
    .flatMap((header) => header.split(';'))
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
const READS = ['GET', 'HEAD'];

/**
 * Each check suffices for today's browsers; older ones send no Sec-Fetch-Site, and some no Origin. A JSON content type
 * cannot be sent to another origin without asking that one first, which is never allowed here.
 */
function requireSameOrigin(request: IncomingMessage): void {
  const site = request.headersDistinct['sec-fetch-site']?.join(', ');
  if (site !== undefined && !OWN_SITES.includes(site)) throw new CrossSiteRequest('Sec-Fetch-Site');
  const origin = request.headersDistinct['origin']?.join(', ');
  if (origin !== undefined && !isOwnOrigin(origin, request)) throw new CrossSiteRequest('Origin');
  if (READS.includes(request.method ?? '')) return;
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
