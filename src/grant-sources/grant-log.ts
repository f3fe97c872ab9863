import { isDeepStrictEqual } from 'node:util';
import { type GrantProblem, nameOf } from '../authz/grant-index';
import type { GrantSourceStatus } from '../authz/grant-source';
import type { ManifestWarning } from '../authz/manifest';
import type { SysDataWarning } from '../authz/sys-data';
import type { InstalledApp, SharedWorkspace } from '../authz/grant';
import type { LogEvent } from '../logging/log';
import type { AppFolder } from './directory/app-folder';

const MAX_WARNINGS = 20;
/** How many problems of one change are logged: a list may bring thousands. */
const MAX_PROBLEMS = 100;

type NamedApp = Pick<InstalledApp, 'user' | 'app'>;

/** Why a resource is refused, and whose it is where that is known: by its place, or by what it states. */
interface ResourceRefusal extends Pick<GrantProblem, 'reason' | 'line'> {
  readonly of?: NamedApp;
  readonly claim?: { readonly installed: NamedApp } | undefined;
}

/** The problems of the resources that are refused. */
export class RefusedResources {
  private readonly bySource = new Map<string, { readonly problem: GrantProblem; readonly name?: string }>();
  /** A counter that grows with each change of problems(). */
  changes = 0;

  put(source: string, { reason, line, claim, of = claim?.installed }: ResourceRefusal): void {
    const problem = { source, reason, ...(line !== undefined && { line }), servedFromLastGood: false };
    const refused = { problem, ...(of !== undefined && { name: nameOf(of) }) };
    if (isDeepStrictEqual(this.bySource.get(source), refused)) return;
    this.bySource.set(source, refused);
    this.changes += 1;
  }

  remove(source: string): void {
    if (this.bySource.delete(source)) this.changes += 1;
  }

  problems(): readonly GrantProblem[] {
    return [...this.bySource.values()].map(({ problem }) => problem);
  }

  problemsOf(user: string, app: string): readonly GrantProblem[] {
    const name = nameOf({ user, app });
    return [...this.bySource.values()].filter((one) => one.name === name).map(({ problem }) => problem);
  }
}

/** Logs each problem, warning, pending grant and shared workspace once, when it begins. */
export class GrantLog {
  /** By user and app, the pending grants that were logged. */
  private readonly known = new Map<string, ReadonlySet<string>>();
  private begun: { readonly user: string; readonly app: string; readonly grants: readonly string[] }[] = [];

  constructor(private readonly log: LogEvent) {}

  status(now: GrantSourceStatus, before: GrantSourceStatus): void {
    if (now.problems !== before.problems) this.problems(now.problems, before.problems);
    if (now.ready !== before.ready || now.installedApps !== before.installedApps) {
      this.log('info', 'grants_loaded', { installedApps: now.installedApps, problems: now.problems.length });
    }
  }

  private problems(now: readonly GrantProblem[], before: readonly GrantProblem[]): void {
    const begun = newIn(now, before);
    for (const problem of begun.slice(0, MAX_PROBLEMS)) {
      this.log(problem.servedFromLastGood ? 'warn' : 'error', 'grants_problem', { ...problem });
    }
    if (begun.length > MAX_PROBLEMS) {
      this.log('warn', 'grants_problems_omitted', { leftOff: begun.length - MAX_PROBLEMS });
    }
    const sources = new Set(now.map(({ source }) => source));
    const solved = newIn(before, now).filter(({ source }) => !sources.has(source));
    for (const { source } of solved.slice(0, MAX_PROBLEMS))
      this.log('info', 'grants_problem_solved', { source });
  }

  /** Logs new shared workspaces, so that an operator notices two apps that can read each other's secrets. */
  sharing(now: readonly SharedWorkspace[], before: readonly SharedWorkspace[]): void {
    const begun = newIn(now, before);
    for (const shared of begun.slice(0, MAX_WARNINGS)) this.log('warn', 'workspace_shared', { ...shared });
    if (begun.length > MAX_WARNINGS) {
      this.log('warn', 'workspaces_shared_omitted', { leftOff: begun.length - MAX_WARNINGS });
    }
    const ended = newIn(before.map(workspaceOf), now.map(workspaceOf));
    for (const one of ended.slice(0, MAX_WARNINGS)) this.log('info', 'workspace_shared_ended', one);
    if (ended.length > MAX_WARNINGS) {
      this.log('info', 'workspaces_shared_ended_omitted', { leftOff: ended.length - MAX_WARNINGS });
    }
  }

  /** Logs the warnings of one file or resource; to be called after each of its changes. */
  warnings(source: string, warnings: readonly (ManifestWarning | SysDataWarning)[]): void {
    for (const warning of warnings.slice(0, MAX_WARNINGS))
      this.log('warn', 'grants_warning', { source, ...warning });
    if (warnings.length > MAX_WARNINGS) {
      this.log('warn', 'grants_warnings_omitted', { source, leftOff: warnings.length - MAX_WARNINGS });
    }
  }

  /** To be called after each change of an app. @param pending grantKey() of what awaits an approval */
  pending(user: string, app: string, pending: ReadonlySet<string> = new Set()): void {
    // Neither name can contain a slash.
    const name = `${user}/${app}`;
    const before = this.known.get(name);
    const grants = [...pending].filter((key) => before?.has(key) !== true);
    if (pending.size > 0) this.known.set(name, pending);
    else this.known.delete(name);
    if (grants.length > 0) this.begun.push({ user, app, grants: grants.slice(0, MAX_WARNINGS) });
  }

  /** Logs the grants that have become pending since the last call. */
  newlyPending(): void {
    const begun = this.begun.splice(0);
    for (const { user, app, grants } of begun.slice(0, MAX_PROBLEMS))
      this.log('warn', 'grants_pending', { user, app, grants });
    if (begun.length > MAX_PROBLEMS)
      this.log('warn', 'grants_pending_omitted', { leftOff: begun.length - MAX_PROBLEMS });
  }

  /** Logs the manifests that were parsed anew, and the folders that are not served any more. */
  read(now: ReadonlyMap<string, AppFolder>, before: ReadonlyMap<string, AppFolder>): void {
    for (const [folder, { manifest, installed }] of now) {
      if (manifest.problem || manifest === before.get(folder)?.manifest) continue;
      const source = `${folder}/OlaresManifest.yaml`;
      this.warnings(source, manifest.good?.warnings ?? []);
      const grants = installed?.grants.size ?? 0;
      if (!manifest.missing) this.log('info', 'grants_read', { source, app: manifest.good?.app, grants });
    }
    for (const [folder, { installed }] of before) {
      if (installed && !now.get(folder)?.installed) this.log('info', 'grants_withdrawn', { source: folder });
    }
  }
}

function workspaceOf({ user, workspace }: SharedWorkspace): Pick<SharedWorkspace, 'user' | 'workspace'> {
  return { user, workspace };
}

function newIn<T>(now: readonly T[], before: readonly T[]): readonly T[] {
  const known = new Set(before.map((item) => JSON.stringify(item)));
  return now.filter((item) => !known.has(JSON.stringify(item)));
}
