import { type Command, Option } from 'commander';
import type { Environment } from '../../client/index.js';
import { UsageError } from '../../errors/operator-errors';
import { inputName, printableJson, printableLine, readText, shown } from '../console';
import {
  allSecrets,
  environmentOption,
  openVault,
  type VaultConnection,
  withConnection,
} from '../connection';
import type { TextFormat } from '../files/secret-file';
import { formatOfFile } from './file-commands';

interface ReadCommandOptions extends VaultConnection {
  readonly reveal?: true;
  readonly json?: true;
}

/** What a terminal shows in place of a value, whatever its length is. */
const MASK = '********';

/** `get NAME`: the value on standard output; masked on a terminal, byte for byte elsewhere. */
export function addGetCommand(program: Command): void {
  withConnection(program.command('get'))
    .description('print the value of a secret: exactly where the output is piped, masked on a terminal')
    .argument('<name>', 'name of the secret')
    .option('--reveal', 'show the value on a terminal too')
    .option('--json', 'print {"name", "value", "env"}')
    .action(async (name: string, options: ReadCommandOptions) => {
      const vault = await openVault(options);
      const value = await vault.retrieve(name);
      const isMasked = process.stdout.isTTY && options.reveal !== true;
      if (options.json === true) {
        const secret = { name, ...(isMasked ? { masked: true } : { value }), env: options.env };
        process.stdout.write(`${printableJson(secret)}\n`);
      } else if (isMasked) {
        process.stdout.write(`${MASK}\n`);
        process.stderr.write('The value is masked on a terminal; --reveal shows it.\n');
      } else process.stdout.write(process.stdout.isTTY ? shown(value) : value);
    });
}

/** `list`: the names; with `--reveal` the values too, as JSON texts, so that a secret is one line. */
export function addListCommand(program: Command): void {
  withConnection(program.command('list'))
    .description('print the names of all secrets, one a line')
    .option('--reveal', 'print each value too, after a tab, as a JSON text')
    .option('--json', 'print [{"name"}]; with --reveal [{"name", "value"}]')
    .action(async ({ reveal, json, ...connection }: ReadCommandOptions) => {
      const vault = await openVault(connection);
      const secrets = await vault.list({
        onUnreadable: (names) =>
          process.stderr.write(
            `The store cannot show the values of ${names.map(printableLine).join(', ')}.\n`,
          ),
      });
      if (json === true) {
        const rows = reveal === true ? secrets : secrets.map(({ name }) => ({ name }));
        process.stdout.write(`${printableJson(rows)}\n`);
        return;
      }
      for (const { name, value } of secrets)
        process.stdout.write(`${printableLine(name)}${reveal === true ? `\t${printableJson(value)}` : ''}\n`);
    });
}

interface DiffOptions extends VaultConnection {
  readonly toEnv?: Environment;
  readonly format?: TextFormat;
  readonly reveal?: true;
  readonly json?: true;
}

type ValuesByName = ReadonlyMap<string, string>;

/** A secret that is not the same on both sides; without `from` it is added, without `to` it is removed. */
interface Difference {
  readonly name: string;
  readonly from?: string;
  readonly to?: string;
}

const MAX_FILE_BYTES = 64 * 1024 * 1024;
const TEXT_FORMATS = ['dotenv', 'json', 'yaml'] as const;

/** `diff FILE` or `diff --to-env ENV`: which secrets differ; exit code 1 where one does. */
export function addDiffCommand(program: Command): void {
  withConnection(program.command('diff'))
    .summary('compare the workspace with a file, or two environments')
    .description(
      'Compares the environment of the workspace with a file or with another environment, and names the secrets that are added (+), ' +
        'removed (-) or changed (~) there. Values are shown with --reveal alone.',
    )
    .argument('[file]', 'a file of dotenv, JSON or YAML; - is standard input')
    .addOption(environmentOption('--to-env <name>', 'compare with this environment of the workspace'))
    .addOption(
      new Option('--format <format>', "of the file, where its name's ending does not say it").choices(
        TEXT_FORMATS,
      ),
    )
    .option('--reveal', 'show the values, as JSON texts')
    .option('--json', 'print {"added", "removed", "changed"}: names; with --reveal objects')
    .addHelpText('after', '\nThe exit code is 0 where nothing differs, and 1 where something does.')
    .action(async (file: string | undefined, options: DiffOptions) => {
      const { toEnv, ...from } = options;
      if ((file === undefined) === (toEnv === undefined))
        throw new UsageError('Either a file or --to-env must be given.');
      if (toEnv === from.env)
        throw new UsageError('--to-env names the environment that is compared with it.');
      const right = file === undefined ? undefined : await valuesOfFile(file, options.format);
      const left = await allSecrets(await openVault(from));
      const other = { ...from, env: toEnv ?? from.env };
      const differences = differencesOf(left, right ?? (await allSecrets(await openVault(other))));
      printDifferences(differences, options);
      process.exitCode = differences.length > 0 ? 1 : 0;
    });
}

async function valuesOfFile(path: string, stated: TextFormat | undefined): Promise<ValuesByName> {
  const format = formatOfFile(path, stated, TEXT_FORMATS);
  const text = await readText(path, MAX_FILE_BYTES);
  const { parseSecrets } = await import('../files/secret-file.js');
  const secrets = parseSecrets(format, text, inputName(path));
  return new Map(secrets.map(({ name, value }) => [name, value]));
}

/** Returns the differences by name. */
function differencesOf(left: ValuesByName, right: ValuesByName): readonly Difference[] {
  const names = [...new Set([...left.keys(), ...right.keys()])].sort();
  return names.flatMap((name) => {
    const [from, to] = [left.get(name), right.get(name)];
    if (from === to) return [];
    return [{ name, ...(from !== undefined && { from }), ...(to !== undefined && { to }) }];
  });
}

function printDifferences(differences: readonly Difference[], { json, reveal }: DiffOptions): void {
  if (json === true) {
    const those = (of: keyof typeof SIGNS) =>
      differences.filter((one) => kindOf(one) === of).map((one) => (reveal === true ? one : one.name));
    const result = { added: those('added'), removed: those('removed'), changed: those('changed') };
    process.stdout.write(`${printableJson(result)}\n`);
    return;
  }
  for (const difference of differences) {
    const { name, from, to } = difference;
    const values = [from, to].flatMap((value) => (value === undefined ? [] : [printableJson(value)]));
    const revealed = reveal === true ? `\t${values.join(' → ')}` : '';
    process.stdout.write(`${SIGNS[kindOf(difference)]} ${printableLine(name)}${revealed}\n`);
  }
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const;

function kindOf({ from, to }: Difference): keyof typeof SIGNS {
  if (from === undefined) return 'added';
  return to === undefined ? 'removed' : 'changed';
}
