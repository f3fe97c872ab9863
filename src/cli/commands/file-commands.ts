import { randomUUID } from 'node:crypto';
import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { errorCodeOf } from '../../errors/domain-error';
import { UsageError } from '../../errors/operator-errors';
import { CommandFailure, ofFile, printable, printableJson, shown } from '../console';
import { type VaultConnection, openVault, withConnection } from '../connection';
import type { ArchiveOptions } from '../files/age-archive';

const FILE_FORMATS = ['dotenv', 'json', 'yaml', 'age'] as const;
type FileFormat = (typeof FILE_FORMATS)[number];

const ENDINGS: Readonly<Record<string, FileFormat>> = {
  env: 'dotenv',
  json: 'json',
  yaml: 'yaml',
  yml: 'yaml',
  age: 'age',
};

/** Four times what a user may store by default. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

interface ImportOptions extends VaultConnection, ArchiveOptions {
  readonly format?: FileFormat;
  readonly overwrite?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `import FILE`: stores what a file states, and reports what became of each secret. */
export function addImportCommand(program: Command): void {
  withConnection(program.command('import'))
    .summary('store the secrets of a file')
    .description(
      'Stores the secrets of a file: dotenv, JSON or YAML with names and values, or an archive of age. All of it is checked before ' +
        'anything is stored. A secret that exists is left as it is unless --overwrite is given. It is safe to run again.',
    )
    .argument('<file>', 'the file; - is standard input')
    .addOption(formatOption())
    .option('--overwrite', 'replace the values of secrets that exist')
    .option('--dry-run', 'store nothing, and say what would be stored')
    .option('--json', 'print the report as JSON')
    .option('--identity <file>', 'of an archive: file of an age identity; may be repeated', appended, [])
    .option(
      '--passphrase-file <file>',
      'of an archive: file of its passphrase, for which a terminal is asked otherwise',
    )
    .addHelpText('after', '\nThe exit code is 1 where a secret was not stored.')
    .action(importFile);
}

async function importFile(path: string, options: ImportOptions): Promise<void> {
  const format = formatOf(path, options);
  const { inputName, readInput, readText } = await import('../console.js');
  const { parseSecrets } = await import('../files/secret-file.js');
  const text =
    format === 'age'
      ? await decrypted(await readInput(path, MAX_FILE_BYTES), options)
      : await readText(path, MAX_FILE_BYTES);
  const secrets = parseSecrets(format === 'age' ? 'json' : format, text, inputName(path));
  const vault = await openVault(options);
  const { countedOutcomes, importReport, importSecrets } = await import('../files/secret-import.js');
  const { overwrite: overwrites = false, dryRun: isDryRun = false } = options;
  const results = await importSecrets(vault, secrets, { overwrites, isDryRun });
  const counts = countedOutcomes(results);
  process.exitCode = counts.left + counts.failed + counts['not-tried'] > 0 ? 1 : 0;
  if (options.json === true) {
    process.stdout.write(`${printableJson({ dryRun: isDryRun, counts, secrets: results }, 2)}\n`);
    return;
  }
  process.stdout.write(importReport(results, isDryRun));
  const counted = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`);
  process.stderr.write(`${isDryRun ? 'Nothing was stored. ' : ''}${counted.join(', ')}.\n`);
}

async function decrypted(bytes: Buffer, options: ImportOptions): Promise<string> {
  const { archiveInWorker, keysIn, readArchive } = await import('../files/age-archive.js');
  const { archive, needsPassphrase } = await readArchive(bytes);
  return String(await archiveInWorker({ archive, keys: await keysIn(options, needsPassphrase) }));
}

interface ExportOptions extends VaultConnection, ArchiveOptions {
  readonly format?: FileFormat;
  readonly force?: boolean;
  readonly reveal?: boolean;
}

/** `export [FILE]`: writes all secrets of a workspace. */
export function addExportCommand(program: Command): void {
  withConnection(program.command('export'))
    .summary('write all secrets to a file')
    .description(
      'Writes all secrets of the workspace and environment to a file that you alone can read, or to standard output: as dotenv, JSON, ' +
        'YAML, or an archive of age. What import reads of it is the same, byte for byte.',
    )
    .argument('[file]', 'the file; - is standard output', '-')
    .addOption(formatOption())
    .option('--force', 'replace the file if there is one')
    .option('--reveal', 'print the values although standard output is a terminal')
    .option('--recipient <recipient>', 'of an archive: who can open it, age1…; may be repeated', appended, [])
    .option('--recipients-file <file>', 'of an archive: file of such recipients')
    .option(
      '--passphrase-file <file>',
      'of an archive: file of a passphrase, for which a terminal is asked otherwise',
    )
    .option('--armor', 'of an archive: write it as text')
    .action(exportFile);
}

async function exportFile(path: string, options: ExportOptions): Promise<void> {
  const format = formatOf(path, options);
  if (path === '-' && process.stdout.isTTY && options.reveal !== true)
    throw new UsageError('The values would be seen on the terminal: name a file, or use --reveal.');
  const vault = await openVault(options);
  const { formatSecrets } = await import('../files/secret-file.js');
  const { archiveInWorker, readersIn } = await import('../files/age-archive.js');
  const readers = format === 'age' ? await readersIn(options) : undefined;
  let unreadable: readonly string[] = [];
  const secrets = await vault.list({ onUnreadable: (names) => (unreadable = names) });
  const text = formatSecrets(format === 'age' ? 'json' : format, secrets);
  const isArmored = options.armor === true;
  const content = readers === undefined ? text : await archiveInWorker({ text, readers, isArmored });
  if (path === '-') process.stdout.write(process.stdout.isTTY ? shown(content.toString()) : content);
  else {
    await writePrivateFile(path, content, options.force === true);
    process.stderr.write(`${secrets.length} secrets are in ${printable(path)}.\n`);
  }
  if (unreadable.length > 0)
    throw new CommandFailure(
      1,
      `The store cannot show the values of ${unreadable.length} secrets, which were left out: ${unreadable.join(', ')}.`,
    );
}

/**
 * Writes a file that its owner alone can read, whole or not at all: it gets its name when it is on the disk. A signal leaves none.
 * @param mayReplace otherwise a file of that name, also one that appears meanwhile, stays as it is
 * @throws CommandFailure: 1 where there is one, 3 where it cannot be written
 */
async function writePrivateFile(
  path: string,
  content: string | Uint8Array,
  mayReplace: boolean,
): Promise<void> {
  const unnamed = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  const end = (signal: NodeJS.Signals): void => {
    rmSync(unnamed, { force: true });
    // Nothing listens for it any more: it ends the process.
    process.kill(process.pid, signal);
  };
  for (const signal of ENDING) process.once(signal, end);
  try {
    const file = await open(unnamed, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    if (mayReplace) await rename(unnamed, path);
    else await takeName(unnamed, path);
  } catch (error: unknown) {
    if (errorCodeOf(error) === 'EEXIST') throw new CommandFailure(1, `${path} exists; --force replaces it.`);
    throw ofFile(path, error);
  } finally {
    await rm(unnamed, { force: true });
    for (const signal of ENDING) process.off(signal, end);
  }
}

/** Gives a file a name that no file has, where a rename would replace it. */
async function takeName(unnamed: string, path: string): Promise<void> {
  try {
    await link(unnamed, path);
  } catch (error: unknown) {
    if (errorCodeOf(error) === 'EEXIST') throw error;
    // On a memory stick (FAT) there are no links: an empty file takes the name, and is replaced before any signal is handled.
    closeSync(openSync(path, 'wx', 0o600));
    try {
      renameSync(unnamed, path);
    } catch (failure: unknown) {
      rmSync(path, { force: true });
      throw failure;
    }
  }
}

function formatOption(): Option {
  return new Option('--format <format>', "form of the file, where its name's ending does not say it").choices(
    FILE_FORMATS,
  );
}

/**
 * Returns the form of a file that is stated, or that its name tells: `.env` and `prod.env` are dotenv, and so is `.env.prod`; of
 * `.env.age` the ending counts.
 * @throws UsageError where it cannot be told, or is none of those that are possible
 */
export function formatOfFile<Format extends FileFormat>(
  path: string,
  stated: Format | undefined,
  possible: readonly Format[],
): Format {
  const ending = /\.([a-z]+)$/i.exec(path)?.[1]?.toLowerCase() ?? '';
  const byEnding = Object.hasOwn(ENDINGS, ending) ? ENDINGS[ending] : undefined;
  const byName = byEnding ?? (/(?:^|\/)\.env[^/]*$/.test(path) ? 'dotenv' : undefined);
  const format = stated ?? possible.find((one) => one === byName);
  if (format !== undefined) return format;
  throw new UsageError(`--format must say what the file is: ${possible.join(', ')}.`);
}

/** @throws UsageError as formatOfFile(), and where options of an archive are given for another form: nothing would be encrypted */
function formatOf(path: string, options: ImportOptions | ExportOptions): FileFormat {
  const format = formatOfFile(path, options.format, FILE_FORMATS);
  const { recipient = [], recipientsFile, identity = [], passphraseFile, armor } = options;
  const isForArchive =
    [...recipient, ...identity].length > 0 ||
    [recipientsFile, passphraseFile, armor].some((option) => option !== undefined);
  if (isForArchive && format !== 'age')
    throw new UsageError(
      `Recipients, identities, passphrases and --armor are of an archive, and this file is ${format}; --format age makes it one.`,
    );
  return format;
}

function appended(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
