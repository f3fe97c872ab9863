import type { MigrationOutcome, ProjectOutcome } from './migration';
import type { MigrationPlan } from './predecessor-inventory';
import { readFileSync } from 'node:fs';
import { errorCodeOf } from '../errors/domain-error';
import { strictArguments, UsageError } from '../errors/operator-errors';

const OPTIONS = {
  projects: { type: 'string' },
  'users-file': { type: 'string' },
  user: { type: 'string', multiple: true, default: [] as string[] },
  'dry-run': { type: 'boolean', default: false },
  resume: { type: 'boolean', default: false },
  state: { type: 'string', default: 'migrate-from-tapr.state.json' },
  'exit-zero': { type: 'boolean', default: false },
  'print-query': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

export type MigrationArguments = ReturnType<typeof strictArguments<typeof OPTIONS>>;

export const HELP = `node dist/cli/migrate-from-tapr.js [options]
Copies the secrets of the predecessor (tapr's sidecar and its Infisical) into the store that the service's own settings name. It only creates:
what is in the store already is compared and left as it is, and nothing of the predecessor is changed.

  --dry-run          writes no secret, and reports what would be written
  --user NAME        only the secrets of this user; may be given several times
  --resume           go on after an interruption, and first take back the roles that it left
  --state FILE       where the run notes how far it is, without values (migrate-from-tapr.state.json)
  --projects FILE    the projects as JSON, in place of the database
  --users-file FILE  the output of: kubectl get users.iam.kubesphere.io -o json, in place of the cluster
  --exit-zero        exit with 0 also where something differs or was skipped, so that a Job does not run this again; a run that ends early is still 1
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

/** Parses the arguments strictly: an unknown one is refused. @throws UsageError */
export function parseMigrationArguments(args: readonly string[]): MigrationArguments | 'help' | 'query' {
  const values = strictArguments(args, OPTIONS);
  if (values.help) return 'help';
  if (values['print-query']) return 'query';
  if (values.state === '') throw new UsageError('--state must name a file.');
  return values;
}

/** Reads a file that an argument names. @throws UsageError */
export function jsonFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error: unknown) {
    throw new UsageError(`${path} cannot be read (${errorCodeOf(error) ?? 'unknown error'}).`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new UsageError(`${path} is not JSON.`);
  }
}

interface ReportedSecret {
  readonly workspace: string;
  readonly environment: string;
  readonly name: string;
}

const COUNTS = ['projects', 'read', 'duplicates', 'written', 'equal', 'different', 'skipped'] as const;
type ReportCounts = Readonly<Record<(typeof COUNTS)[number], number>>;

/** The result of a run: names, counts and reasons, never a value. */
export type MigrationReport = ReturnType<typeof reportOf>;

export function reportOf(plan: MigrationPlan, outcome: MigrationOutcome, dryRun: boolean) {
  const byUser = new Map<string, ProjectOutcome[]>();
  for (const one of outcome.projects)
    byUser.set(one.project.user, [...(byUser.get(one.project.user) ?? []), one]);
  const users = [...byUser]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([user, projects]) => userReport(user, projects));
  const totals = Object.fromEntries(
    COUNTS.map((count) => [count, users.reduce((sum, one) => sum + one[count], 0)] as const),
  ) as ReportCounts;
  const complete =
    outcome.failure === undefined &&
    outcome.rolesLeft.length === 0 &&
    outcome.projects.every(({ failure }) => failure === undefined);
  const isAllThere =
    totals.different === 0 &&
    totals.skipped === 0 &&
    users.every(({ skippedEnvironments }) => skippedEnvironments.length === 0) &&
    !plan.unassigned.some(({ reason }) => OF_SOME_USER.has(reason));
  return {
    dryRun,
    /** False where the run ended early, or a project could not be read. */
    complete,
    /** Whether everything of the users is in the store as it was in the predecessor. What belongs to no user does not count. */
    clean: complete && isAllThere,
    ...(outcome.failure !== undefined && { failure: outcome.failure.message }),
    totals,
    users,
    /** Projects of nobody here, such as those of deleted users. */
    unassignedProjects: plan.unassigned,
    rolesLeft: outcome.rolesLeft,
  };
}

function userReport(user: string, projects: readonly ProjectOutcome[]) {
  const results = projects.flatMap(({ project: { workspace }, results: byEnvironment }) =>
    [...byEnvironment].map(([environment, result]) => ({ workspace, environment, result })),
  );
  const sum = (count: 'read' | 'duplicates' | 'written' | 'equal') =>
    results.reduce((all, { result }) => all + result[count], 0);
  const differentSecrets = results.flatMap(({ result, ...at }) =>
    result.different.map((name) => ({ ...at, name })),
  );
  const skippedSecrets = results.flatMap(({ result, ...at }) =>
    result.skipped.map((one) => ({ ...at, ...one })),
  );
  return {
    user,
    projects: projects.length,
    read: sum('read'),
    duplicates: sum('duplicates'),
    written: sum('written'),
    equal: sum('equal'),
    different: differentSecrets.length,
    skipped: skippedSecrets.length,
    differentSecrets,
    skippedSecrets,
    skippedEnvironments: projects.flatMap(({ project: { workspace, unknown } }) =>
      unknown.map((environment) => ({ workspace, environment })),
    ),
    skippedProjects: projects.flatMap(({ project, failure }) =>
      failure === undefined ? [] : [{ project: project.name, reason: failure }],
    ),
  };
}

/** Reasons of projects that are of a user, though nobody can say of which one. */
const OF_SOME_USER: ReadonlySet<MigrationPlan['unassigned'][number]['reason']> = new Set([
  'several_members',
  'email_of_several_users',
]);

/** Whether there is nothing to go on with: all was looked at, and no role is left. */
export function hasEnded({ failure, rolesLeft }: MigrationReport): boolean {
  return failure === undefined && rolesLeft.length === 0;
}

/** Returns the report for people. Names are quoted, since anything may be in them. */
export function reportText(report: MigrationReport): string {
  const { dryRun, totals, users, unassignedProjects, rolesLeft, failure } = report;
  const columns = COUNTS.filter((count) => count !== 'duplicates');
  const row = (title: string, counts: ReportCounts) =>
    `${title.padEnd(24)}${columns.map((column) => String(counts[column]).padStart(11)).join('')}`;
  const details = users.flatMap((one) => [
    ...one.differentSecrets.map((secret) => `  different: ${placeOf(one.user, secret)}`),
    ...one.skippedSecrets.map((secret) => `  skipped: ${placeOf(one.user, secret)} (${secret.reason})`),
    ...one.skippedEnvironments.map(
      ({ workspace, environment }) =>
        `  skipped: environment ${quoted(environment)} of ${one.user}, ${workspace}`,
    ),
    ...one.skippedProjects.map(
      ({ project, reason }) => `  skipped: project ${quoted(project)} of ${one.user} (${reason})`,
    ),
  ]);
  return [
    ...(dryRun ? ['Nothing was written (--dry-run): "written" is what would be.'] : []),
    `${'user'.padEnd(24)}${columns.map((column) => column.padStart(11)).join('')}`,
    ...users.map((one) => row(one.user, one)),
    row('all', totals),
    ...details,
    ...unassignedProjects.map(
      ({ name, reason, emails }) =>
        `  skipped: project ${quoted(name)} of nobody (${[reason, ...emails.map(quoted)].join(', ')})`,
    ),
    ...rolesLeft.map(
      (name) => `  The role viewer is left in project ${quoted(name)}: run this again with --resume.`,
    ),
    ...(failure === undefined ? [] : [failure]),
    '',
  ].join('\n');
}

function placeOf(user: string, { workspace, environment, name }: ReportedSecret): string {
  return `${user}, ${workspace}, ${environment}: ${quoted(name)}`;
}

/** Leaves no character to a terminal that it obeys or does not show: a name in the predecessor's database may be anything. */
function quoted(name: string): string {
  return JSON.stringify(name).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
