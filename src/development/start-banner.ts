import type { SecretOperation, InstalledApp } from '../authz/grant';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { Settings } from '../config/settings';
import type { GrantSource } from '../authz/grant-source';
import { keepHeadersFile } from './example-headers';

/** Prints the smoke test's calls as curl commands for the service on this laptop, and keeps its file of credentials fresh. */
export async function printStartBanner(
  folder: string,
  url: string,
  settings: Settings,
  apps: GrantSource,
): Promise<void> {
  const app = apps.find('alice', 'otmoiclp');
  const workspace = app === undefined ? undefined : exampleWorkspace(app);
  if (app === undefined || workspace === undefined) return;
  const headersFile = join(folder, 'headers');
  await keepHeadersFile(headersFile, { url, app, userTokenSecret: settings.userToken.secret });
  process.stdout.write(startBanner(url, app, workspace, headersFile));
}

function startBanner(url: string, app: InstalledApp, workspace: string, headersFile: string): string {
  return `
olares-secret-provider listens on ${url}, with app ${app.app} installed for user ${app.user}.
Paste this into another shell (the credentials of this laptop are in the file behind -H @, and kept fresh):

${curlSequence(url, workspace, headersFile)}

Or let \`npm run smoke-test\` walk the same calls and check each answer. Ctrl-C stops the service.
`;
}

/** Returns the calls as curl commands, which read the credentials from a file. */
function curlSequence(url: string, workspace: string, headersFile: string): string {
  const calls = SMOKE_TEST_STEPS.map(({ operation, body }) =>
    [
      `curl -sS -X POST '${url}/${operation}?workspace=${workspace}'`,
      `-H @'${headersFile}'`,
      "-H 'Content-Type: application/json'",
      `-d '${JSON.stringify(body)}'; echo`,
    ].join(' '),
  );
  return calls.join('\n');
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

/** The life of a secret from its creation to its deletion. The first call answers 409 where an earlier sequence was interrupted. */
export const SMOKE_TEST_STEPS: readonly SmokeTestStep[] = [
  {
    operation: 'CreateSecret',
    body: { name: NAME, value: 'correct horse', env: 'dev' },
    code: 200,
    data: '',
  },
  {
    operation: 'RetrieveSecret',
    body: { name: NAME, env: 'dev' },
    code: 200,
    data: { name: NAME, value: 'correct horse', env: 'dev' },
  },
  {
    operation: 'UpdateSecret',
    body: { name: NAME, value: ' battery staple\n', env: 'dev' },
    code: 200,
    data: '',
  },
  {
    operation: 'ListSecret',
    body: { env: 'dev' },
    code: 200,
    data: [{ name: NAME, value: ' battery staple\n', env: 'dev' }],
  },
  { operation: 'DeleteSecret', body: { name: NAME, env: 'dev' }, code: 200, data: '' },
  { operation: 'RetrieveSecret', body: { name: NAME, env: 'dev' }, code: 404, reason: 'SECRET_NOT_FOUND' },
];

/** Returns the address of a service on this machine, an IPv6 host in brackets. */
export function urlOf(host: string, port: number): string {
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** Returns the workspace on which the app holds all five operations; undefined where there is none. */
export function exampleWorkspace(app: InstalledApp): string | undefined {
  const counts = new Map<string, number>();
  for (const grant of app.grants) {
    const workspace = grant.slice(grant.indexOf('=') + 1);
    counts.set(workspace, (counts.get(workspace) ?? 0) + 1);
  }
  return [...counts].find(([, count]) => count === 5)?.[0];
}
