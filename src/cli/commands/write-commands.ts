import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { SecretVaultError } from '../../client/errors.js';
import type { SecretVault } from '../../client/index.js';
import { CommandFailure, WrongUse } from '../command-errors';
import { type VaultConnection, openVault, withConnection } from '../connection';
import { askHidden, inputName, readInput, untilEnded, utf8Text } from '../read-input';

/** More than the service takes, so that it is the one that says how much that is. */
const MAX_INPUT_BYTES = 1024 * 1024;

interface SetOptions extends VaultConnection {
  readonly file?: string;
  readonly exact?: true;
  readonly allowEmpty?: true;
  readonly overwrite: boolean;
}

/** `set NAME`: stores a value that comes from standard input, a file, or a person at the terminal; never from an argument. */
export function addSetCommand(program: Command): void {
  withConnection(program.command('set'))
    .description('store a value: from standard input, from a file, or asked for without echo on a terminal')
    .argument('<name>', 'name of the secret')
    .option('--file <path>', 'take the value from a file, exactly as it is')
    .option('--exact', 'keep the newline at the end of standard input, of which one is taken away otherwise')
    .option('--allow-empty', 'store an empty value, which is refused otherwise')
    .option('--no-overwrite', 'create the secret; exit with 1 where it exists')
    .action(async (name: string, options: SetOptions) => {
      const vault = await openVault(options);
      const value = await valueFor(name, options);
      if (value === '' && options.allowEmpty !== true)
        throw new WrongUse('The value is empty; --allow-empty stores it all the same.');
      await store(vault, name, value, options.overwrite);
      process.stderr.write(`${name} is stored.\n`);
    });
}

async function store(vault: SecretVault, name: string, value: string, overwrite: boolean): Promise<void> {
  if (!overwrite) return vault.create(name, value);
  try {
    await vault.put(name, value);
  } catch (error: unknown) {
    if (!(error instanceof SecretVaultError) || error.reason !== 'NOT_GRANTED') throw error;
    // An app that may only create has no grant for the update with which `put` begins.
    try {
      await vault.create(name, value);
    } catch {
      throw error;
    }
  }
}

async function valueFor(name: string, { file, exact }: SetOptions): Promise<string> {
  if (file !== undefined) return textIn(file);
  if (process.stdin.isTTY) return askHidden(`Value of ${name} (not shown): `);
  const text = await textIn('-');
  // What `echo` and most programs end their output with is rarely meant to be a part of it.
  return exact === true ? text : text.replace(/\r?\n$/, '');
}

async function textIn(path: string): Promise<string> {
  const text = utf8Text(await readInput(path, MAX_INPUT_BYTES));
  if (text !== undefined) return text;
  throw new CommandFailure(
    3,
    `${inputName(path)} is not UTF-8 text: encode it first, for example as base64.`,
  );
}

interface DeleteOptions extends VaultConnection {
  readonly yes?: true;
}

/** `delete NAME`: asks on a terminal whether it is meant. */
export function addDeleteCommand(program: Command): void {
  withConnection(program.command('delete'))
    .description('delete a secret; a terminal is asked first')
    .argument('<name>', 'name of the secret')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, options: DeleteOptions) => {
      const vault = await openVault(options);
      if (process.stdin.isTTY && options.yes !== true && !(await isMeant(name, options)))
        throw new CommandFailure(1, 'Nothing was deleted.');
      await vault.delete(name);
      process.stderr.write(`${name} is deleted.\n`);
    });
}

async function isMeant(name: string, { workspace = '', env }: VaultConnection): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const question = lines.question(`Delete ${name} of workspace ${workspace}, environment ${env}? [y/N] `);
    return /^y(es)?$/i.test((await untilEnded(question, lines)).trim());
  } finally {
    lines.close();
  }
}
