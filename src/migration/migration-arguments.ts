import { readFileSync } from 'node:fs';
import { errorCodeOf } from '../errors/domain-error';
import { strictArguments, WrongUsage } from '../stores/infisical/setup/setup-arguments';

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

/** Parses the arguments strictly: an unknown one is refused. @throws WrongUsage */
export function parseMigrationArguments(args: readonly string[]): MigrationArguments | 'help' | 'query' {
  const values = strictArguments(args, OPTIONS);
  if (values.help) return 'help';
  if (values['print-query']) return 'query';
  if (values.state === '') throw new WrongUsage('--state must name a file.');
  return {
    projectsFile: values.projects,
    usersFile: values['users-file'],
    users: values.user,
    dryRun: values['dry-run'],
    resume: values.resume,
    stateFile: values.state,
  };
}

/** Reads a file that an argument names. @throws WrongUsage */
export function jsonFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error: unknown) {
    throw new WrongUsage(`${path} cannot be read (${errorCodeOf(error) ?? 'unknown error'}).`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new WrongUsage(`${path} is not JSON.`);
  }
}
