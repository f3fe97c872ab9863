import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { DEBIAN_GOPATH, pythonWithBcrypt } from '../support/describe-with';

/** Makes calls of a client of another language, in one process. Returns of each `{result}`, or `{error}` with its reason. */
export type Driver = (
  calls: readonly object[],
  env: Readonly<
    Record<'URL' | 'VIA_SYSTEM_SERVER' | 'WORKSPACE' | 'APP_KEY' | 'APP_SECRET' | 'USER_TOKEN', string>
  >,
) => Promise<readonly object[]>;

const run = promisify(execFile);

export const python: Driver = async (calls, env) => {
  const args = [resolve(__dirname, 'driver.py'), JSON.stringify(calls)];
  const { stdout } = await run(pythonWithBcrypt() ?? '', ['-B', ...args], { env });
  return JSON.parse(stdout) as readonly object[];
};

export const go: Driver = async (calls, env) => {
  const { driver } = await goWorkspace();
  const { stdout } = await run(driver, [JSON.stringify(calls)], { env });
  return JSON.parse(stdout) as readonly object[];
};

const CLIENT = resolve(__dirname, '../../examples/clients/olares_secrets.go');

interface GoWorkspace {
  /** The compiled driver. */
  readonly driver: string;
  /** Runs the go command on the packages `olaressecrets` and `driver`. @throws with what it printed where it fails */
  readonly command: (...args: readonly string[]) => Promise<string>;
}

let made: Promise<GoWorkspace> | undefined;

/** Builds the driver once for a test file. GOPATH mode takes Debian's source of bcrypt, where modules would be downloaded. */
export function goWorkspace(): Promise<GoWorkspace> {
  made ??= makeGoWorkspace();
  return made;
}

async function makeGoWorkspace(): Promise<GoWorkspace> {
  const root = mkdtempSync(join(tmpdir(), 'go-client-'));
  process.once('exit', () => rmSync(root, { recursive: true, force: true }));
  for (const name of ['olaressecrets', 'driver']) mkdirSync(join(root, 'src', name), { recursive: true });
  copyFileSync(CLIENT, join(root, 'src/olaressecrets/olares_secrets.go'));
  copyFileSync(
    join(__dirname, 'olares_secrets_test.go'),
    join(root, 'src/olaressecrets/olares_secrets_test.go'),
  );
  copyFileSync(join(__dirname, 'driver.go'), join(root, 'src/driver/main.go'));
  const env = {
    ...process.env,
    GO111MODULE: 'off',
    GOFLAGS: '',
    GOPATH: `${root}:${DEBIAN_GOPATH}`,
    // A container may have no home.
    GOCACHE: process.env['GOCACHE'] ?? join(tmpdir(), 'go-build-cache'),
    CGO_ENABLED: '0',
  };
  const command = async (...args: readonly string[]): Promise<string> => {
    try {
      return (await run('go', args, { env, cwd: root })).stdout;
    } catch (error: unknown) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      throw new Error(`go ${args.join(' ')}: ${stdout}${stderr}`);
    }
  };
  const driver = join(root, 'client-driver');
  await command('build', '-o', driver, 'driver');
  return { driver, command };
}
