import type { LogEvent } from '../logging/log';
import type { AppFolder } from './directory/app-folder';
import type { GrantSourceStatus } from '../authz/grant-source';
import type { ManifestWarning } from '../authz/manifest';
import type { SysDataWarning } from '../authz/sys-data';
import type { SharedWorkspace } from '../authz/workspace-holders';

const MAX_WARNINGS = 20;
/** Of one change: a list may bring thousands. */
const MAX_PROBLEMS = 100;

/** Tells each thing once, when it becomes true. */
export class GrantLog {
  constructor(private readonly log: LogEvent) {}

  status(now: GrantSourceStatus, before: GrantSourceStatus): void {
    const begun = newIn(now.problems, before.problems);
    for (const problem of begun.slice(0, MAX_PROBLEMS)) {
      this.log(problem.servedFromLastGood ? 'warn' : 'error', 'grants_problem', { ...problem });
    }
    if (begun.length > MAX_PROBLEMS) {
      this.log('warn', 'grants_problems_omitted', { leftOff: begun.length - MAX_PROBLEMS });
    }
    const sources = new Set(now.problems.map(({ source }) => source));
    const solved = newIn(before.problems, now.problems).filter(({ source }) => !sources.has(source));
    for (const { source } of solved.slice(0, MAX_PROBLEMS))
      this.log('info', 'grants_problem_solved', { source });
    if (now.ready !== before.ready || now.installedApps !== before.installedApps) {
      this.log('info', 'grants_loaded', { installedApps: now.installedApps, problems: now.problems.length });
    }
  }

  /** Two apps that can read each other's secrets should be on purpose. */
  sharing(now: readonly SharedWorkspace[], before: readonly SharedWorkspace[]): void {
    const begun = newIn(now, before);
    for (const shared of begun.slice(0, MAX_WARNINGS)) this.log('warn', 'workspace_shared', { ...shared });
    if (begun.length > MAX_WARNINGS) {
      this.log('warn', 'workspaces_shared_omitted', { leftOff: begun.length - MAX_WARNINGS });
    }
    for (const over of newIn(before.map(placeOf), now.map(placeOf)))
      this.log('info', 'workspace_shared_ended', over);
  }

  /** Of one file or resource, after each of its changes. */
  warnings(source: string, warnings: readonly (ManifestWarning | SysDataWarning)[]): void {
    for (const warning of warnings.slice(0, MAX_WARNINGS))
      this.log('warn', 'grants_warning', { source, ...warning });
    if (warnings.length > MAX_WARNINGS) {
      this.log('warn', 'grants_warnings_omitted', { source, leftOff: warnings.length - MAX_WARNINGS });
    }
  }

  /** Of the manifests that were parsed since. */
  read(now: ReadonlyMap<string, AppFolder>, before: ReadonlyMap<string, AppFolder>): void {
    for (const [folder, { manifest, installed }] of now) {
      if (manifest.problem || manifest === before.get(folder)?.manifest) continue;
      const source = `${folder}/OlaresManifest.yaml`;
      this.warnings(source, manifest.good?.warnings ?? []);
      const grants = installed?.grants.size ?? 0;
      if (!manifest.missing) this.log('info', 'grants_read', { source, app: manifest.good?.app, grants });
    }
  }
}

function placeOf({ user, workspace }: SharedWorkspace): {
  readonly user: string;
  readonly workspace: string;
} {
  return { user, workspace };
}

function newIn<T>(problems: readonly T[], before: readonly T[]): readonly T[] {
  const known = new Set(before.map((problem) => JSON.stringify(problem)));
  return problems.filter((problem) => !known.has(JSON.stringify(problem)));
}
