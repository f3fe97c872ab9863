import { Option, type Command } from 'commander';
import type { Environment } from '../../client/index.js';
import { CommandFailure, printableJson, printableLine, WrongUse } from '../command-errors';
import {
  allSecrets,
  environmentOption,
  openVault,
  type VaultConnection,
  withConnection,
} from '../connection';
import type { TextFormat } from '../files/secret-file';
import { inputName, readInput, utf8Text } from '../read-input';

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
      new Option('--format <format>', "of the file, where its name's ending does not say it").choices([
        'dotenv',
        'json',
        'yaml',
      ]),
    )
    .option('--reveal', 'show the values, as JSON texts')
    .option('--json', 'print {"added", "removed", "changed"}: names; with --reveal objects')
    .addHelpText('after', '\nThe exit code is 0 where nothing differs, and 1 where something does.')
    .action(async (file: string | undefined, options: DiffOptions) => {
      const { toEnv, ...from } = options;
      if ((file === undefined) === (toEnv === undefined))
        throw new WrongUse('Either a file or --to-env must be given.');
      if (toEnv === from.env) throw new WrongUse('--to-env names the environment that is compared with it.');
      const right = file === undefined ? undefined : await valuesOfFile(file, options.format);
      const left = await valuesIn(from);
      const differences = differencesOf(left, right ?? (await valuesIn({ ...from, env: toEnv ?? from.env })));
      print(differences, options);
      process.exitCode = differences.length > 0 ? 1 : 0;
    });
}

async function valuesIn(connection: VaultConnection): Promise<ValuesByName> {
  const secrets = await allSecrets(await openVault(connection));
  return new Map(secrets.map(({ name, value }) => [name, value]));
}

async function valuesOfFile(path: string, format: TextFormat | undefined): Promise<ValuesByName> {
  const text = utf8Text(await readInput(path, MAX_FILE_BYTES));
  if (text === undefined) throw new CommandFailure(3, `${inputName(path)} is not UTF-8 text.`);
  const { parseSecrets } = await import('../files/secret-file.js');
  const secrets = parseSecrets(format ?? formatFor(path), text, inputName(path));
  return new Map(secrets.map(({ name, value }) => [name, value]));
}

function formatFor(path: string): TextFormat {
  if (path.endsWith('.json')) return 'json';
  return /\.ya?ml$/.test(path) ? 'yaml' : 'dotenv';
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

function print(differences: readonly Difference[], { json, reveal }: DiffOptions): void {
  if (json === true) {
    const shown = (of: 'added' | 'removed' | 'changed') =>
      differences.filter((one) => kindOf(one) === of).map((one) => (reveal === true ? one : one.name));
    const result = { added: shown('added'), removed: shown('removed'), changed: shown('changed') };
    process.stdout.write(`${printableJson(result)}\n`);
    return;
  }
  for (const difference of differences) {
    const { name, from, to } = difference;
    const values = [from, to].flatMap((value) => (value === undefined ? [] : [printableJson(value)]));
    const shown = reveal === true ? `\t${values.join(' → ')}` : '';
    process.stdout.write(`${SIGNS[kindOf(difference)]} ${printableLine(name)}${shown}\n`);
  }
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const;

function kindOf({ from, to }: Difference): keyof typeof SIGNS {
  if (from === undefined) return 'added';
  return to === undefined ? 'removed' : 'changed';
}
