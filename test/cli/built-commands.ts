import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { SecretVault } from '../../src/client/index';
import { eventually } from '../support/eventually';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { MemorySecretStore } from '../support/memory.secret-store';
import { type Service, startService } from '../support/service';
import { userToken } from '../support/tokens';
import { MAIN } from './built-command';

export interface Ended {
  /** 128 and the signal's number are the command's own doing; a command that a signal ended has the signal's name. */
  readonly status: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
}

/** The built commands, as their user runs them, against a service on loopback. Nothing of this process' environment reaches them. */
export class BuiltCommands {
  private readonly spawned: ChildProcess[] = [];

  private constructor(
    readonly service: Service,
    readonly vault: SecretVault,
    /** The working directory, with the home directory and the one for temporary files in it. */
    readonly dir: string,
    readonly env: Readonly<Record<string, string>>,
  ) {}

  static async start(): Promise<BuiltCommands> {
    const service = await startService({ store: new MemorySecretStore(), grantSource: exampleApps() });
    const token = await userToken('alice', Date.now());
    const { appKey = '', appSecret = '' } = OTMOICLP;
    const vault = new SecretVault({
      url: service.url,
      workspace: 'otmoic',
      appKey,
      appSecret,
      userToken: token,
    });
    const dir = mkdtempSync(join(tmpdir(), 'built-commands-'));
    for (const name of ['home', 'tmp']) mkdirSync(join(dir, name));
    const env = {
      PATH: process.env['PATH'] ?? '',
      HOME: join(dir, 'home'),
      TMPDIR: join(dir, 'tmp'),
      TERM: 'xterm',
      OLARES_SECRETS_URL: service.url,
      OLARES_SECRETS_WORKSPACE: 'otmoic',
      OLARES_SECRETS_APP_KEY: appKey,
      OLARES_SECRETS_APP_SECRET: appSecret,
      OLARES_SECRETS_USER_TOKEN: token,
    };
    return new BuiltCommands(service, vault, dir, env);
  }

  /** Ends also what a failed test left running. */
  async close(): Promise<void> {
    for (const child of this.spawned)
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await this.service.close();
    rmSync(this.dir, { recursive: true });
  }

  /** Starts a command whose standard streams are pipes. */
  spawn(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: this.dir, env: { ...this.env, ...env } });
    this.spawned.push(child);
    return child;
  }

  async run(args: readonly string[], { env, input = '' }: CommandOptions = {}): Promise<Ended> {
    const child = this.spawn(args, env);
    child.stdin.on('error', () => undefined).end(input);
    return ended(child);
  }

  /** Runs a command on a pseudo-terminal; types or does what is said when the screen shows what it is for. Returns all that was on the screen. */
  async onTerminal(
    args: readonly string[],
    answers: readonly (readonly [shown: string, typed: string | ((screen: string) => void)])[] = [],
    env: Readonly<Record<string, string>> = {},
    /** What runs the command. */
    before: readonly string[] = [],
  ): Promise<{ readonly status: number | null; readonly screen: string }> {
    const words = [...before, process.execPath, MAIN, ...args].map(
      (word) => `'${word.replaceAll("'", `'\\''`)}'`,
    );
    const child = spawn('script', ['-qec', `exec ${words.join(' ')}`, '/dev/null'], {
      cwd: this.dir,
      env: { ...this.env, SHELL: '/bin/sh', ...env },
    });
    let screen = '';
    child.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
    const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
    for (const [shown, typed] of answers) {
      await eventually(() => expect(screen).toContain(shown));
      if (typeof typed === 'string') child.stdin.write(typed);
      else typed(screen);
    }
    return { status: await closed, screen };
  }

  /** Returns the files under the working directory that have the text in them. */
  filesWith(canary: string): readonly string[] {
    return readdirSync(this.dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((file) => readFileSync(file).includes(canary));
  }
}

export async function ended(child: ChildProcess): Promise<Ended> {
  const closed = new Promise<number | string | null>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code)),
  );
  const read = (stream: NodeJS.ReadableStream | null) => (stream === null ? '' : text(stream));
  const [stdout, stderr, status] = await Promise.all([read(child.stdout), read(child.stderr), closed]);
  return { status, stdout, stderr };
}
