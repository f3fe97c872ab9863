import type { Command } from 'commander';
import { WrongUse } from '../command-errors';
import {
  allSecrets,
  environmentWithoutOurs,
  openVault,
  type VaultConnection,
  withConnection,
} from '../connection';
import { SecretProgram } from '../run/secret-program';
import { type Naming, secretVariables } from '../run/secret-variables';

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
      const read = async (signal?: AbortSignal): Promise<ReadonlyMap<string, string>> => {
        const call = signal === undefined ? {} : { signal };
        if (only === undefined)
          return new Map((await allSecrets(vault, call)).map(({ name, value }) => [name, value] as const));
        const values = new Map<string, string>();
        for (const name of only) values.set(name, await vault.retrieve(name, call));
        return values;
      };
      const inherited = environmentWithoutOurs();
      const environmentOf = (secrets: ReadonlyMap<string, string>) => ({
        ...inherited,
        ...secretVariables(secrets, options, inherited),
      });
      const secrets = await read();
      const running = new SecretProgram(file, args);
      running.start(environmentOf(secrets));
      if (options.watch === true)
        void running.restartOnChange({ secrets, read, environmentOf, intervalMs: options.interval * 1000 });
      process.exitCode = await running.ended;
    });
}

function collected(name: string, before: readonly string[] = []): readonly string[] {
  return [...before, name];
}

function secondsIn(text: string): number {
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= MIN_INTERVAL_S && seconds <= MAX_INTERVAL_S) return seconds;
  throw new WrongUse(`--interval must be ${MIN_INTERVAL_S} to ${MAX_INTERVAL_S} seconds.`);
}
