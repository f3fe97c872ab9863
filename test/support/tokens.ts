import { SignJWT, type JWTPayload } from 'jose';

export const USER_TOKEN_SECRET = Buffer.from('u'.repeat(64));
export const ACCESS_TOKEN_KEY = Buffer.from('a'.repeat(64));

export interface TokenOptions {
  readonly key?: Uint8Array;
  readonly algorithm?: string;
  readonly expiresAtMs?: number;
  readonly claims?: JWTPayload;
  readonly issuer?: string;
  readonly audience?: string;
}

/** Returns a user's token as LLDAP signs it: HS512, no `typ`, a `jid` beyond JavaScript's integers. */
export async function userToken(user: string, nowMs: number, options: TokenOptions = {}): Promise<string> {
  const expiresAtMs = options.expiresAtMs ?? nowMs + 3_600_000;
  return new SignJWT({ username: user, groups: ['lldap_admin'], mfa: 0, ...options.claims })
    .setProtectedHeader({ alg: options.algorithm ?? 'HS512' })
    .setIssuedAt(Math.floor(nowMs / 1000))
    .setExpirationTime(Math.floor(expiresAtMs / 1000))
    .sign(options.key ?? USER_TOKEN_SECRET);
}

/** Returns the same claims with `alg: none` and no signature. */
export function unsigned(token: string): string {
  const [, payload] = token.split('.');
  const header = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
  return `${header}.${payload}.`;
}

/** Returns an access token as this service signs it. */
export async function accessToken(
  app: string,
  user: string,
  ops: readonly string[],
  nowMs: number,
  options: TokenOptions = {},
): Promise<string> {
  const expiresAtMs = options.expiresAtMs ?? nowMs + 300_000;
  return new SignJWT({ user, ops, ...options.claims })
    .setProtectedHeader({ alg: options.algorithm ?? 'HS256', typ: 'JWT' })
    .setIssuer(options.issuer ?? 'olares-secret-provider')
    .setAudience(options.audience ?? 'secret.infisical/v1')
    .setSubject(app)
    .setIssuedAt(Math.floor(nowMs / 1000))
    .setExpirationTime(Math.floor(expiresAtMs / 1000))
    .sign(options.key ?? ACCESS_TOKEN_KEY);
}
