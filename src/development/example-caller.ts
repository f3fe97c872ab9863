import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { SignJWT } from 'jose/jwt/sign';
import { type InstalledApp, PROVIDER, type SecretOperation } from '../authz/grant';
import type { GrantSource } from '../authz/grant-source';
import type { Settings } from '../config/settings';

/** Access tokens live five minutes. */
export const HEADERS_RENEWED_EVERY_MS = 2 * 60_000;
const USER_TOKEN_LIFETIME_S = 600;

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
  const timestamp = Math.floor(Date.now() / 1000);
  // The body of contract, section 4.
  const request = {
    app_key: app.appKey,
    timestamp,
    token: await hash(`${app.appKey ?? ''}${timestamp}${app.appSecret ?? ''}`, 10),
    perm: { ...PROVIDER, ops: [...app.grants] },
  };
  const answer = await fetch(`${url}/permission/v1alpha1/access`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  const body = (await answer.json()) as { code: number; message: string; data: { access_token: string } };
  if (!answer.ok) throw new Error(`POST /permission/v1alpha1/access: ${body.code} ${body.message}`);
  return {
    'X-Authorization': await signUserToken(app.user, userTokenSecret),
    'X-Access-Token': body.data.access_token,
  };
}

/** Signs a user's token as LLDAP does. */
export async function signUserToken(
  user: string,
  secret: Uint8Array,
  lifetimeS = USER_TOKEN_LIFETIME_S,
): Promise<string> {
  const issuedAtS = Math.floor(Date.now() / 1000);
  return new SignJWT({ username: user, groups: [], mfa: 0 })
    .setProtectedHeader({ alg: 'HS512' })
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + lifetimeS)
    .sign(secret);
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

/** Returns the operations of each workspace, in the order in which the manifest states them. */
export function operationsByWorkspace({
  grants,
}: Pick<InstalledApp, 'grants'>): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const grant of grants) {
    const [operation = '', workspace = ''] = grant.split('?workspace=');
    found.set(workspace, [...(found.get(workspace) ?? []), operation]);
  }
  return found;
}

/** Returns the workspace on which the app holds all five operations; undefined where there is none. */
export function exampleWorkspace(app: InstalledApp): string | undefined {
  return [...operationsByWorkspace(app)].find(([, operations]) => operations.length === 5)?.[0];
}

/** Returns the address of a service on this machine, an IPv6 host in brackets. */
export function urlOf(host: string, port: number): string {
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/**
 * Prints the smoke test's calls as curl commands for the service on this laptop. Their headers are in a file, so that no token is
 * printed, and are renewed while the process runs.
 */
export async function printStartBanner(
  folder: string,
  url: string,
  settings: Settings,
  apps: GrantSource,
): Promise<void> {
  const app = apps.find('alice', 'otmoiclp');
  const workspace = app && exampleWorkspace(app);
  if (app === undefined || workspace === undefined) return;
  const headersFile = join(folder, 'headers');
  const caller = { url, app, userTokenSecret: settings.userToken.secret };
  const write = async (): Promise<void> =>
    writePrivately(headersFile, headerLines(await exampleHeaders(caller)));
  await write();
  setInterval(() => void write().catch(() => undefined), HEADERS_RENEWED_EVERY_MS).unref();
  const calls = SMOKE_TEST_STEPS.map(({ operation, body }) =>
    [
      `curl -sS -X POST '${url}/${operation}?workspace=${workspace}'`,
      `-H @'${headersFile}'`,
      "-H 'Content-Type: application/json'",
      `-d '${JSON.stringify(body)}'; echo`,
    ].join(' '),
  );
  process.stdout.write(`
olares-secret-provider listens on ${url}, with app ${app.app} installed for user ${app.user}.
Paste this into another shell (the credentials of this laptop are in the file behind -H @, and kept fresh):

${calls.join('\n')}

Or let \`npm run smoke-test\` walk the same calls and check each answer. Ctrl-C stops the service.
`);
}

/** One call of the smoke test, with the whole answer that the contract documents for it. */
export interface SmokeTestStep {
  readonly operation: SecretOperation;
  readonly body: Readonly<Record<string, string>>;
  readonly code: number;
  /** Undefined for a failure, whose answer has a request id; `reason` is compared instead. */
  readonly data?: unknown;
  readonly reason?: string;
}

const NAME = 'wallet-password';
const FIRST = { name: NAME, value: 'correct horse', env: 'dev' };
const CHANGED = { name: NAME, value: ' battery staple\n', env: 'dev' };
const BY_NAME = { name: NAME, env: 'dev' };

/** The life of a secret from its creation to its deletion. The first call answers 409 where an earlier sequence was interrupted. */
export const SMOKE_TEST_STEPS: readonly SmokeTestStep[] = [
  { operation: 'CreateSecret', body: FIRST, code: 200, data: '' },
  { operation: 'RetrieveSecret', body: BY_NAME, code: 200, data: FIRST },
  { operation: 'UpdateSecret', body: CHANGED, code: 200, data: '' },
  { operation: 'ListSecret', body: { env: 'dev' }, code: 200, data: [CHANGED] },
  { operation: 'DeleteSecret', body: BY_NAME, code: 200, data: '' },
  { operation: 'RetrieveSecret', body: BY_NAME, code: 404, reason: 'SECRET_NOT_FOUND' },
];
