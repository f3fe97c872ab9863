import type { MigrationOutcome, MigrationProgress, ProjectOutcome } from './migration';
import type { MigrationPlan } from './predecessor-inventory';

interface ReportedSecret {
  readonly workspace: string;
  readonly environment: string;
  readonly name: string;
}

const COUNTS = ['projects', 'read', 'duplicates', 'written', 'equal', 'different', 'skipped'] as const;
type ReportCounts = Readonly<Record<(typeof COUNTS)[number], number>>;

interface UserReport extends ReportCounts {
  readonly user: string;
  readonly differentSecrets: readonly ReportedSecret[];
  readonly skippedSecrets: readonly (ReportedSecret & { readonly reason: string })[];
  readonly skippedEnvironments: readonly { readonly workspace: string; readonly environment: string }[];
  readonly skippedProjects: readonly { readonly project: string; readonly reason: string }[];
}

/** The result of a run: names, counts and reasons, never a value. */
export interface MigrationReport {
  readonly dryRun: boolean;
  /** False where the run ended early, or a project could not be read. */
  readonly complete: boolean;
  readonly failure?: string;
  readonly totals: ReportCounts;
  readonly users: readonly UserReport[];
  /** Projects of nobody here, such as those of deleted users. */
  readonly unassignedProjects: MigrationPlan['unassigned'];
  readonly rolesLeft: readonly string[];
}

export function reportOf(plan: MigrationPlan, outcome: MigrationOutcome, dryRun: boolean): MigrationReport {
  const byUser = new Map<string, ProjectOutcome[]>();
  for (const one of outcome.projects)
    byUser.set(one.project.user, [...(byUser.get(one.project.user) ?? []), one]);
  const users = [...byUser]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([user, projects]) => userReport(user, projects));
  const totals = COUNTS.map((count) => [count, users.reduce((sum, one) => sum + one[count], 0)] as const);
  return {
    dryRun,
    complete:
      outcome.failure === undefined &&
      outcome.rolesLeft.length === 0 &&
      outcome.projects.every(({ failure }) => failure === undefined),
    ...(outcome.failure !== undefined && { failure: outcome.failure.message }),
    totals: Object.fromEntries(totals) as ReportCounts,
    users,
    unassignedProjects: plan.unassigned,
    rolesLeft: outcome.rolesLeft,
  };
}

function userReport(user: string, projects: readonly ProjectOutcome[]): UserReport {
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

/** Returns whether everything of the users is in the store as it was in the predecessor. What belongs to no user does not count. */
export function isClean({ complete, totals }: MigrationReport): boolean {
  return complete && totals.different === 0 && totals.skipped === 0;
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

const PROGRESS_EACH_MS = 10_000;

/** Returns what tells of the progress: on a terminal in one line, else as a line of JSON each ten seconds. */
export function printedProgress(
  print: (text: string) => void,
  isTerminal: boolean,
  nowMs: () => number,
): MigrationProgress {
  let lastMs = -Infinity;
  return (environments, ofAll, secrets) => {
    const end = environments === ofAll ? '\n' : '';
    if (isTerminal) return print(`\r${environments} of ${ofAll} environments, ${secrets} secrets${end}`);
    if (nowMs() - lastMs < PROGRESS_EACH_MS) return;
    lastMs = nowMs();
    print(`${JSON.stringify({ event: 'progress', environments, ofAll, secrets })}\n`);
  };
}
