import type { Command } from 'commander';
import { printable, printableJson, printableLine } from '../command-errors';
import { type VaultConnection, openVault, withConnection } from '../connection';

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

/** A terminal obeys control characters: they are replaced, and said to be. */
export function shown(value: string): string {
  const visible = printable(value);
  if (visible !== value.trimEnd())
    process.stderr.write(
      'Characters that a terminal would obey are replaced; pipe the output to have them.\n',
    );
  return `${visible}\n`;
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
