import { fieldsOf } from '../json/json';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** Wrong use of the command: exit code 2. The message says what to write instead. */
export class WrongMigrationUsage extends Error {}

export interface MigrationArguments {
  /** The file of projects, in place of the database. */
  readonly projectsFile: string | undefined;
  /** The file of users, in place of the cluster. */
  readonly usersFile: string | undefined;
  /** Only these; all where there are none. */
  readonly users: readonly string[];
  readonly dryRun: boolean;
  readonly resume: boolean;
  readonly stateFile: string;
}

const OPTIONS = {
  projects: { type: 'string' },
  'users-file': { type: 'string' },
  user: { type: 'string', multiple: true, default: [] as string[] },
  'dry-run': { type: 'boolean', default: false },
  resume: { type: 'boolean', default: false },
  state: { type: 'string', default: 'migrate-from-tapr.state.json' },
  'print-query': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

export const HELP = `node dist/cli/migrate-from-tapr.js [options]
Copies the secrets of the predecessor (tapr's sidecar and its Infisical) into the store that the service's own settings name. It only creates:
what is in the store already is compared and left as it is, and nothing of the predecessor is changed.

  --dry-run          writes no secret, and reports what would be written
  --user NAME        only the secrets of this user; may be given several times
  --resume           go on after an interruption, and first take back the roles that it left
  --state FILE       where the run notes how far it is, without values (migrate-from-tapr.state.json)
  --projects FILE    the projects as JSON, in place of the database
  --users-file FILE  the output of: kubectl get users.iam.kubesphere.io -o json, in place of the cluster
  --print-query      print the SQL statement whose result is the file of --projects
  --help             this text

TAPR_DATABASE_URL           postgres://user@host:5432/database, without a password
TAPR_DATABASE_PASSWORD      its password
TAPR_JWT_AUTH_SECRET        key JWT_AUTH_SECRET of Secret infisical-backend; the role viewer is given and taken away as the projects' members
TAPR_INFISICAL_URL          the Infisical of the predecessor; INFISICAL_URL where it is unset
TAPR_INFISICAL_CLIENT_ID, TAPR_INFISICAL_CLIENT_SECRET   the machine identity there; INFISICAL_CLIENT_ID and _SECRET where they are unset

Each secret also as ..._FILE. The store: the service's own settings.

Exit codes: 0 all is well; 1 something differs, was skipped or failed; 2 wrong use, nothing was done; 130 interrupted.
`;

/** Parses the arguments strictly: an unknown one is refused. @throws WrongMigrationUsage */
export function parseMigrationArguments(args: readonly string[]): MigrationArguments | 'help' | 'query' {
  const values = parsed(args);
  if (values.help) return 'help';
  if (values['print-query']) return 'query';
  if (values.state === '') throw new WrongMigrationUsage('--state must name a file.');
  return {
    projectsFile: values.projects,
    usersFile: values['users-file'],
    users: values.user,
    dryRun: values['dry-run'],
    resume: values.resume,
    stateFile: values.state,
  };
}

/** Does not repeat an unknown argument: it may be a secret in the wrong position. */
function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch {
    const known = Object.keys(OPTIONS).map((name) => `--${name}`);
    throw new WrongMigrationUsage(
      `An argument is unknown or lacks its value; there are ${known.join(', ')}.`,
    );
  }
}

/** Reads a file that an argument names. @throws WrongMigrationUsage */
export function jsonFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error: unknown) {
    throw new WrongMigrationUsage(`${path} cannot be read (${String(fieldsOf(error)['code'])}).`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new WrongMigrationUsage(`${path} is not JSON.`);
  }
}
