import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { hash } from 'bcrypt';
import { SignJWT } from 'jose/jwt/sign';
import type { InstalledApp } from '../authz/grant';

/** Access tokens live five minutes. */
export const HEADERS_RENEWED_EVERY_MS = 2 * 60_000;

interface ExampleCallerOptions {
  readonly url: string;
  readonly app: InstalledApp;
  readonly userTokenSecret: Uint8Array;
}

/** Requests an access token from the running service as any app does, and returns the example app's two credential headers. */
export async function exampleHeaders(
  options: ExampleCallerOptions,
): Promise<Readonly<Record<string, string>>> {
  const { url, app, userTokenSecret } = options;
  const answer = await fetch(`${url}/permission/v1alpha1/access`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(await accessRequestOf(app, [...app.grants], Date.now())),
  });
  const body = (await answer.json()) as { code: number; message: string; data: { access_token: string } };
  if (!answer.ok) throw new Error(`POST /permission/v1alpha1/access: ${body.code} ${body.message}`);
  return {
    'X-Authorization': await signUserToken(app.user, userTokenSecret, Date.now()),
    'X-Access-Token': body.data.access_token,
  };
}

/** Writes the two headers to a file for `curl -H @file`, so that no token is printed, and renews them while the process runs. */
export async function keepHeadersFile(path: string, options: ExampleCallerOptions): Promise<void> {
  const write = async (): Promise<void> => writePrivately(path, headerLines(await exampleHeaders(options)));
  await write();
  setInterval(() => void write().catch(() => undefined), HEADERS_RENEWED_EVERY_MS).unref();
}

/** Returns headers in the form of `curl -H @file`. */
export function headerLines(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('');
}

/** Replaces a file in one step by one that only its user may read. */
export function writePrivately(path: string, text: string): void {
  const next = `${path}.next`;
  // What stands there is of a process that was killed, or a link of somebody else's.
  rmSync(next, { force: true });
  writeFileSync(next, text, { mode: 0o600, flag: 'wx' });
  renameSync(next, path);
}

const USER_TOKEN_LIFETIME_S = 600;

/** Signs a user's token as LLDAP does. */
export async function signUserToken(
  user: string,
  secret: Uint8Array,
  nowMs: number,
  lifetimeS = USER_TOKEN_LIFETIME_S,
): Promise<string> {
  const issuedAtS = Math.floor(nowMs / 1000);
  return new SignJWT({ username: user, groups: [], mfa: 0 })
    .setProtectedHeader({ alg: 'HS512' })
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + lifetimeS)
    .sign(secret);
}

/** Returns the body with which an app requests an access token (contract, section 4). */
async function accessRequestOf(app: InstalledApp, ops: readonly string[], nowMs: number): Promise<object> {
  const timestamp = Math.floor(nowMs / 1000);
  return {
    app_key: app.appKey,
    timestamp,
    token: await hash(`${app.appKey ?? ''}${timestamp}${app.appSecret ?? ''}`, 10),
    perm: { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops },
  };
}
