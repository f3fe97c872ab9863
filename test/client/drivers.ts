import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { pythonWithBcrypt } from '../support/describe-with';
import { goWorkspace } from '../support/go-workspace';

/** Makes calls of a client of another language, in one process. Returns of each `{result}`, or `{error}` with its reason. */
export type Driver = (
  calls: readonly object[],
  env: Readonly<
    Record<'URL' | 'VIA_SYSTEM_SERVER' | 'WORKSPACE' | 'APP_KEY' | 'APP_SECRET' | 'USER_TOKEN', string>
  >,
) => Promise<readonly object[]>;

const run = promisify(execFile);

export const python: Driver = async (calls, env) => {
  const args = ['-B', resolve(__dirname, 'driver.py'), JSON.stringify(calls)];
  const { stdout } = await run(pythonWithBcrypt() ?? '', args, { env });
  return JSON.parse(stdout) as readonly object[];
};

/** The Go client, its own tests and the driver; made where a test file first needs them. */
export const GO_FILES = {
  client: resolve(__dirname, '../../examples/clients/olares_secrets.go'),
  tests: resolve(__dirname, 'olares_secrets_test.go'),
  inside: resolve(__dirname, 'olares_secrets_inside_test.go'),
  driver: resolve(__dirname, 'driver.go'),
};

let workspace: ReturnType<typeof goWorkspace> | undefined;

export function goClient(): ReturnType<typeof goWorkspace> {
  const { client, tests, inside, driver } = GO_FILES;
  workspace ??= goWorkspace({ olaressecrets: [client, tests, inside], driver: [driver] });
  return workspace;
}

export const go: Driver = async (calls, env) => {
  const { stdout } = await run(await goClient().program('driver'), [JSON.stringify(calls)], { env });
  return JSON.parse(stdout) as readonly object[];
};
