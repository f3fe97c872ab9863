import { hash } from 'bcrypt';
import { SignJWT } from 'jose';
import type { InstalledApp } from '../grants/installed-app';

const USER_TOKEN_LIFETIME_S = 600;

/** A user's token as LLDAP signs it. */
export async function signUserToken(user: string, secret: Uint8Array, nowMs: number): Promise<string> {
  const issuedAtS = Math.floor(nowMs / 1000);
  return new SignJWT({ username: user, groups: [], mfa: 0 })
    .setProtectedHeader({ alg: 'HS512' })
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + USER_TOKEN_LIFETIME_S)
    .sign(secret);
}

/** The body with which an app asks for an access token (contract, section 4). */
export async function accessRequestOf(
  app: InstalledApp,
  ops: readonly string[],
  nowMs: number,
): Promise<object> {
  const timestamp = Math.floor(nowMs / 1000);
  return {
    app_key: app.appKey,
    timestamp,
    token: await hash(`${app.appKey}${timestamp}${app.appSecret}`, 10),
    perm: { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops },
  };
}
