import { isDeepStrictEqual } from 'node:util';
import { loadSettings, type Settings } from '../config/settings';
import { DirectoryGrantSource } from '../grant-sources/directory/directory.grant-source';
import type { InstalledApp } from '../authz/grant';
import { withDevelopmentCredentials } from '../development/development';
import {
  exampleHeaders,
  exampleWorkspace,
  SMOKE_TEST_STEPS,
  type SmokeTestStep,
  urlOf,
} from '../development/example-caller';

/**
 * Makes the calls of the start banner to a running service and prints each with its answer; exit code 1 where an answer is
 * not as documented. It reads the service's own settings; SMOKE_TEST_URL names a service elsewhere.
 */
async function smokeTest(): Promise<number> {
  const settings = loadSettings(withDevelopmentCredentials(process.env).env);
  const url = process.env['SMOKE_TEST_URL'] ?? urlOf(settings.host, settings.port);
  const { app, workspace } = await exampleApp(settings);
  const credentials = await exampleHeaders({ url, app, userTokenSecret: settings.userToken.secret });
  print(
    `POST /permission/v1alpha1/access  (app ${app.app} of user ${app.user})\n  -> an access token for ${app.grants.size} operations`,
  );
  const headers = { ...credentials, 'content-type': 'application/json' };
  // Removes what an interrupted smoke test left behind.
  await fetch(`${url}/DeleteSecret?workspace=${workspace}`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ name: SMOKE_TEST_STEPS[0]?.body['name'], env: 'dev' }),
  });
  let wrong = 0;
  for (const step of SMOKE_TEST_STEPS) {
    const path = `/${step.operation}?workspace=${workspace}`;
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(step.body) });
    const text = await answer.text();
    const asDocumented = answer.status === step.code && matches(step, JSON.parse(text));
    if (!asDocumented) wrong += 1;
    print(
      `POST ${path} ${JSON.stringify(step.body)}\n  -> ${answer.status} ${text}${asDocumented ? '' : '   NOT AS DOCUMENTED'}`,
    );
  }
  print(wrong === 0 ? 'Every answer is as documented.' : `${wrong} answer(s) are not as documented.`);
  return wrong === 0 ? 0 : 1;
}

function matches(step: SmokeTestStep, body: unknown): boolean {
  if (step.reason === undefined)
    return isDeepStrictEqual(body, { code: step.code, message: '', data: step.data });
  const { code, data } = body as { code: unknown; data: { reason: unknown } };
  return code === step.code && data.reason === step.reason;
}

async function exampleApp(settings: Settings): Promise<{ app: InstalledApp; workspace: string }> {
  if (settings.grants.kind !== 'directory') throw new Error('The smoke test reads its app from GRANTS_DIR.');
  const source = await DirectoryGrantSource.open({ dir: settings.grants.dir, log: () => undefined });
  try {
    for (const app of source.installedApps()) {
      const workspace = exampleWorkspace(app);
      if (workspace !== undefined) return { app, workspace };
    }
  } finally {
    await source.close();
  }
  throw new Error('No installed app holds all five operations on one workspace.');
}

/** fetch() says "fetch failed" where a connection fails, and has what happened as its cause. */
function told(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const { cause } = error;
  if (error.message !== 'fetch failed' || !(cause instanceof Error)) return error.message;
  return `the service did not answer (${cause.message || (cause as NodeJS.ErrnoException).code}); \`npm start\` in another shell starts it.`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

smokeTest().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`The smoke test stopped: ${told(error)}\n`);
    process.exit(1);
  },
);
