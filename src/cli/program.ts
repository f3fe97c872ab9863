import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { addCompletionCommand } from './commands/completion';
import { addDevCommand } from './commands/dev';
import { addDoctorCommand } from './commands/doctor';
import { addExportCommand, addImportCommand } from './commands/file-commands';
import { addCheckManifestCommand, addExplainCommand } from './commands/manifest-commands';
import { addDiffCommand, addGetCommand, addListCommand } from './commands/read-commands';
import { addRunCommand } from './commands/run';
import { addDeleteCommand, addEditCommand, addSetCommand } from './commands/write-commands';

/** Adds one command. What it needs that is heavy it loads in its action, so that `--help` and completion stay fast. */
type AddCommand = (program: Command) => void;

/** In the order of `--help`. */
const COMMANDS: readonly AddCommand[] = [
  addDevCommand,
  addRunCommand,
  addGetCommand,
  addSetCommand,
  addListCommand,
  addEditCommand,
  addDeleteCommand,
  addDiffCommand,
  addImportCommand,
  addExportCommand,
  addCheckManifestCommand,
  addExplainCommand,
  addDoctorCommand,
  addCompletionCommand,
];

const EXIT_CODES = `
Exit codes: 0 done; 1 the answer is no; 2 wrong use; 3 the service or a file could not be used.
docs/command-line.md has more, with the environment variables of the connection.`;

/** Returns the program with all its commands. It throws a CommanderError where it would end the process, and prints help alone. */
export function olaresSecretsProgram(): Command {
  const program = new Command('olares-secrets');
  program
    .description('Secrets of Olares apps, for those who develop and run them.')
    .version(ownVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help on the program or a command')
    .helpCommand('help [command]', 'print help on a command')
    .configureHelp({ showGlobalOptions: true })
    // Its errors come to the handler of all errors.
    .configureOutput({ outputError: () => undefined })
    // So that the options after `run PROGRAM` are the program's.
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText('after', EXIT_CODES);
  // Only commands that are added later inherit what was set above.
  for (const add of COMMANDS) add(program);
  return program;
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}
