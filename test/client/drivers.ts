import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pythonWithBcrypt } from '../support/describe-with';
import { goWorkspace } from '../support/go-workspace';

/** Makes calls by a vault of another language that has these settings. Returns of each `{result}`, or `{error}` with its reason. */
export type Driver = (
  calls: readonly object[],
  settings: Readonly<
    Record<'URL' | 'VIA_SYSTEM_SERVER' | 'WORKSPACE' | 'APP_KEY' | 'APP_SECRET' | 'USER_TOKEN', string>
  > & {
    /** Of a proof, where nobody verifies it. The Go client's cannot be set. */
    readonly BCRYPT_COST?: string;
  },
) => Promise<readonly object[]>;

/** Returns the driver whose processes this command starts. Each is asked again once it has answered, as starting one takes long. */
function driverOf(command: () => Promise<readonly [string, ...string[]]>): Driver {
  const started: ChildProcess[] = [];
  const idle: ((line: string) => Promise<string>)[] = [];
  afterAll(() => started.forEach((process) => process.kill()));

  const start = async () => {
    const [program, ...args] = await command();
    const process = spawn(program, args, { env: {}, stdio: ['pipe', 'pipe', 'inherit'] });
    started.push(process);
    // That it ended is seen where its answer is read.
    process.stdin.on('error', () => undefined);
    const answers = createInterface(process.stdout)[Symbol.asyncIterator]();
    return async (line: string): Promise<string> => {
      process.stdin.write(`${line}\n`);
      const { done, value } = await answers.next();
      if (done === true) throw new Error(`${program} ended; it has printed why`);
      return value;
    };
  };

  return async (calls, settings) => {
    const ask = idle.pop() ?? (await start());
    const answer = await ask(JSON.stringify({ settings, calls }));
    idle.push(ask);
    return JSON.parse(answer) as readonly object[];
  };
}

export const python = driverOf(async () => [pythonWithBcrypt() ?? '', '-B', resolve(__dirname, 'driver.py')]);

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

export const go = driverOf(async () => [await goClient().program('driver')]);
