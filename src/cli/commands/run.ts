import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import type { Command } from 'commander';
import { watchValue } from '../../client/repeated-reads.js';
import { pause } from '../../client/transport.js';
import { UsageError } from '../../errors/operator-errors';
import { CommandFailure, failureOf } from '../console';
import {
  allSecrets,
  environmentWithoutOurs,
  openVault,
  type VaultConnection,
  withConnection,
} from '../connection';
import { type Naming, secretVariables } from '../secret-variables';

type Secrets = ReadonlyMap<string, string>;
type Variables = Readonly<Record<string, string>>;

interface RunOptions extends VaultConnection, Naming {
  readonly only?: readonly string[];
  readonly watch?: true;
  readonly interval: number;
}

const MIN_INTERVAL_S = 1;
const MAX_INTERVAL_S = 3600;

/** `run -- PROGRAM ARGS…`: starts a program that has the workspace's secrets as environment variables. */
export function addRunCommand(program: Command): void {
  withConnection(program.command('run'))
    .description("start a program with the workspace's secrets as environment variables")
    .argument('<program>', 'the program, after --')
    .argument('[args...]', 'its arguments')
    .passThroughOptions()
    .option('--only <name>', 'hand on this secret alone; may be given several times', collected)
    .option('--prefix <text>', 'put this in front of each variable')
    .option('--override', 'replace variables that are set already, which is refused otherwise')
    .option('--watch', 'start the program again when a secret has changed')
    .option('--interval <seconds>', 'with --watch: how often to look', secondsIn, 30)
    .addHelpText('after', '\nThe exit code is that of the program; 128 and its number if a signal ended it.')
    .action(async (file: string, args: string[], options: RunOptions) => {
      const vault = await openVault(options);
      const { only } = options;
      const read = async (signal?: AbortSignal): Promise<Secrets> => {
        const call = signal && { signal };
        if (only === undefined) return allSecrets(vault, call);
        const values = new Map<string, string>();
        for (const name of only) values.set(name, await vault.retrieve(name, call));
        return values;
      };
      const inherited = environmentWithoutOurs();
      const environmentOf = (of: Secrets): Variables => ({
        ...inherited,
        ...secretVariables(of, options, inherited),
      });
      const secrets = await read();
      const running = new SecretProgram(file, args);
      running.start(environmentOf(secrets));
      if (options.watch === true)
        void running.restartOnChange(secrets, read, environmentOf, options.interval * 1000);
      // What --watch has under way must not keep the process.
      process.exit(await running.ended);
    });
}

function collected(name: string, before: readonly string[] = []): readonly string[] {
  return [...before, name];
}

function secondsIn(text: string): number {
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= MIN_INTERVAL_S && seconds <= MAX_INTERVAL_S) return seconds;
  throw new UsageError(`--interval must be ${MIN_INTERVAL_S} to ${MAX_INTERVAL_S} seconds.`);
}

const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
/** A terminal sends these to the program as well; it would have them twice. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGHUP']);
/**
 * How long after a signal that may end the program it may still be ending, so that it is not started again. One that runs for longer has
 * survived it: a daemon reads its configuration anew on SIGHUP, and an interactive program goes on after Ctrl-C.
 */
const ENDING_MS: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGINT: 10_000,
  SIGHUP: 10_000,
  // Servers answer what they have begun before they end.
  SIGTERM: 60_000,
  SIGQUIT: 60_000,
};

/** How long a program that is to be started again has for its end. */
const STOP_TIMEOUT_MS = 10_000;

/** What a shell answers for a program that is not there, and for one that it may not start. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

/** A program that runs in our place: it has our standard streams, our signals are forwarded to it, and its exit code is ours. */
class SecretProgram {
  /** The exit code, once the program has ended and is not started again. */
  readonly ended: Promise<number>;
  #end: (exitCode: number) => void = () => undefined;
  #child: ChildProcess | undefined;
  /** Until when the program may be ending because of a signal. */
  #endingUntilMs = -Infinity;
  #isRestarting = false;
  /** Whether such a signal came while the program was ended to be started again: it is not started then. */
  #isStopped = false;
  readonly #watching = new AbortController();

  constructor(
    private readonly file: string,
    private readonly args: readonly string[],
  ) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    for (const signal of FORWARDED) process.on(signal, () => this.#forward(signal));
  }

  /** Starts the program. The secrets are in its environment alone: not in its arguments, in no file, and not in our own environment. */
  start(env: Variables): void {
    const child = this.#spawn(env);
    this.#child = child;
    child.once('error', (error: NodeJS.ErrnoException) => this.#notStarted(error));
    child.once('exit', (code, signal) => {
      if (this.#isRestarting && !this.#isStopped) return;
      this.#finish(signal === null ? (code ?? 0) : 128 + constants.signals[signal]);
    });
  }

  /**
   * Starts the program again each time that the secrets are others. Ends with the program; never throws.
   * @param first those with which the program was started
   * @param environmentOf throws a CommandFailure where the secrets are not to be handed on
   */
  async restartOnChange(
    first: Secrets,
    read: (signal: AbortSignal) => Promise<Secrets>,
    environmentOf: (secrets: Secrets) => Variables,
    intervalMs: number,
  ): Promise<void> {
    let current = keyOf(first);
    const { signal } = this.#watching;
    let latest = first;
    const readKey = async () => keyOf((latest = await read(signal)));
    try {
      for await (const key of watchValue(readKey, { intervalMs, signal })) {
        if (key === undefined || key === current) continue;
        await this.#survivedSignals();
        if (await this.#restart(environmentOf, latest)) current = key;
      }
    } catch (error: unknown) {
      if (!signal.aborted) note(`${failureOf(error).message} Changes are no longer looked for.`);
    }
  }

  /** Waits as long as the program may be ending because of a signal. @throws the reason of `#watching` where it ends meanwhile */
  async #survivedSignals(): Promise<void> {
    for (;;) {
      const leftMs = this.#endingUntilMs - performance.now();
      if (leftMs <= 0) return;
      await pause(leftMs, this.#watching.signal);
    }
  }

  /** Returns false where the program goes on with the earlier secrets. */
  async #restart(environmentOf: (of: Secrets) => Variables, secrets: Secrets): Promise<boolean> {
    let env: Variables;
    try {
      env = environmentOf(secrets);
    } catch (error: unknown) {
      note(
        `The secrets have changed. ${failureOf(error).message} The program goes on with the earlier ones.`,
      );
      return false;
    }
    note('The secrets have changed; the program is started again.');
    this.#isRestarting = true;
    await this.#stop();
    this.#isRestarting = false;
    if (this.#isStopped) return true;
    try {
      this.start(env);
    } catch (error: unknown) {
      const { exitCode, message } = failureOf(error);
      note(message);
      this.#finish(exitCode);
    }
    return true;
  }

  async #stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(late);
  }

  #spawn(env: Variables): ChildProcess {
    try {
      return spawn(this.file, [...this.args], { env, stdio: 'inherit' });
    } catch (error: unknown) {
      const { code } = error as NodeJS.ErrnoException;
      throw new CommandFailure(
        3,
        code === 'E2BIG'
          ? 'The secrets and the environment together are more than this system hands on.'
          : `${this.file} cannot be started.`,
      );
    }
  }

  #notStarted({ code }: NodeJS.ErrnoException): void {
    note(
      `${this.file} cannot be started: ${code === 'ENOENT' ? 'it is not there' : (code ?? 'for no stated reason')}.`,
    );
    this.#finish(code === 'ENOENT' ? NOT_FOUND : NOT_EXECUTABLE);
  }

  #forward(signal: NodeJS.Signals): void {
    const endingMs = ENDING_MS[signal];
    if (endingMs !== undefined) {
      this.#endingUntilMs = Math.max(this.#endingUntilMs, performance.now() + endingMs);
      this.#isStopped ||= this.#isRestarting;
    }
    const isFromTerminal = FROM_TERMINAL.has(signal) && [0, 1, 2].some((descriptor) => isatty(descriptor));
    if (!isFromTerminal) this.#child?.kill(signal);
  }

  #finish(exitCode: number): void {
    this.#watching.abort();
    this.#end(exitCode);
  }
}

/** Two maps of secrets are equal where their keys are. */
function keyOf(secrets: Secrets): string {
  return JSON.stringify([...secrets].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function note(sentence: string): void {
  process.stderr.write(`olares-secrets: ${sentence}\n`);
}
