import { spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { SecretVaultError } from '../../client/errors.js';
import type { SecretVault } from '../../client/index.js';
import { UsageError } from '../../errors/operator-errors';
import { CommandFailure, askHidden, readText, untilEnded, utf8Text } from '../console';
import { environmentWithoutOurs, openVault, type VaultConnection, withConnection } from '../connection';

/** More than the service takes, so that it is the one that says how much that is. */
const MAX_VALUE_BYTES = 1024 * 1024;

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
        throw new UsageError('The value is empty; --allow-empty stores it all the same.');
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
  if (file === undefined && process.stdin.isTTY) return askHidden(`Value of ${name} (not shown): `);
  const text = await readText(file ?? '-', MAX_VALUE_BYTES, ': encode it first, for example as base64');
  if (file !== undefined) return text;
  // What `echo` and most programs end their output with is rarely meant to be a part of it.
  return exact === true ? text : text.replace(/\r?\n$/, '');
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

/** On Linux a folder in memory, which no disk keeps. */
const MEMORY_FOLDER = '/dev/shm';
const ENDING = ['SIGTERM', 'SIGHUP'] as const;
/** The editor is in charge of the terminal, whose keys are for it. */
const OF_THE_EDITOR = ['SIGINT', 'SIGQUIT'] as const;

/** `edit NAME`: the value in an editor. What somebody else wrote meanwhile is not overwritten. */
export function addEditCommand(program: Command): void {
  withConnection(program.command('edit'))
    .description('change a value in $VISUAL or $EDITOR; what somebody else wrote meanwhile stays')
    .argument('<name>', 'name of the secret')
    .action(async (name: string, options: VaultConnection) => {
      const vault = await openVault(options);
      const before = await vault.retrieve(name);
      const after = await editText(before);
      if (after === before) {
        process.stderr.write('Nothing was changed.\n');
        return;
      }
      if (after === '') throw new CommandFailure(1, 'The text is empty; nothing was changed.');
      await vault.update(name, (current) => {
        // It may be our own, where the answer to the write was lost.
        if (current === before || current === after) return after;
        throw new CommandFailure(
          1,
          `${name} was written by somebody else meanwhile, and does not hold your text.`,
        );
      });
      process.stderr.write(`${name} is stored.\n`);
    });
}

/**
 * Returns what the user's editor makes of a text. The text is in a file that only the user may read, in memory where there is a folder
 * for that; the file and what the editor left beside it are overwritten and removed whatever happens, but for SIGKILL. A newline that
 * the editor put at the end of a text that had none is taken away. A signal that ends us does so when the file is gone.
 * @throws CommandFailure where the editor fails, or leaves no text
 */
async function editText(text: string): Promise<string> {
  const ending = new AbortController();
  const end = (signal: NodeJS.Signals): void => ending.abort(signal);
  const ignore = (): void => undefined;
  for (const signal of ENDING) process.on(signal, end);
  for (const signal of OF_THE_EDITOR) process.on(signal, ignore);
  const folder = mkdtempSync(join(privateFolder(), 'olares-secrets-'));
  const erase = (): void => eraseFolder(folder);
  process.once('exit', erase);
  try {
    const file = join(folder, 'value');
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
    await runEditor(file, ending.signal);
    return editedText(file, text.endsWith('\n'));
  } finally {
    erase();
    process.off('exit', erase);
    for (const signal of ENDING) process.off(signal, end);
    for (const signal of OF_THE_EDITOR) process.off(signal, ignore);
    // Nothing listens any more: this ends the process, and whoever waits for it learns by what.
    if (ending.signal.aborted) process.kill(process.pid, ending.signal.reason as NodeJS.Signals);
  }
}

function privateFolder(): string {
  try {
    accessSync(MEMORY_FOLDER, constants.W_OK | constants.X_OK);
    return MEMORY_FOLDER;
  } catch {
    process.stderr.write('There is no folder in memory here: the editor has the value in a file on disk.\n');
    return tmpdir();
  }
}

async function runEditor(file: string, ending: AbortSignal): Promise<void> {
  const editor = [process.env['VISUAL'], process.env['EDITOR']].find(
    (one) => one !== undefined && one !== '',
  );
  // As git does it: the variable may hold arguments too. The shell becomes the editor, so that a signal reaches it.
  const child = spawn('/bin/sh', ['-c', `exec ${editor ?? 'vi'} "$@"`, 'sh', file], {
    env: environmentWithoutOurs(),
    stdio: 'inherit',
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', () => reject(new CommandFailure(3, 'The editor cannot be started.')));
    child.once('exit', resolve);
    // An editor that does not end at once is not waited for: the file must go.
    ending.addEventListener('abort', () => {
      child.kill('SIGTERM');
      resolve(null);
    });
  });
  if (status !== 0) throw new CommandFailure(3, 'The editor failed; nothing was changed.');
}

function editedText(file: string, hadNewline: boolean): string {
  const { size } = lstatSync(file);
  const edited = size > MAX_VALUE_BYTES ? undefined : utf8Text(readFileSync(file));
  if (edited === undefined)
    throw new CommandFailure(3, 'What the editor left is too long, or not UTF-8 text; nothing was changed.');
  return hadNewline ? edited : edited.replace(/\r?\n$/, '');
}

function eraseFolder(folder: string): void {
  try {
    for (const name of readdirSync(folder)) overwrite(join(folder, name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function overwrite(file: string): void {
  const stats = lstatSync(file);
  if (!stats.isFile()) return;
  const descriptor = openSync(file, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    writeSync(descriptor, Buffer.alloc(stats.size));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
