import type { LogEvent } from '../logging/log';
import type { AppFolder } from './app-folder';
import type { GrantProblem, GrantSourceStatus } from './grant-source';
import type { ManifestWarning } from './manifest';
import type { SysDataWarning } from './sys-data';

const MAX_WARNINGS = 20;

/** Tells each thing once, when it becomes true. */
export class GrantLog {
  constructor(private readonly log: LogEvent) {}

  status(now: GrantSourceStatus, before: GrantSourceStatus): void {
    for (const problem of newIn(now.problems, before.problems)) {
      this.log(problem.servedFromLastGood ? 'warn' : 'error', 'grants_problem', { ...problem });
    }
    for (const { source } of newIn(before.problems, now.problems)) {
      if (!now.problems.some((problem) => problem.source === source)) {
        this.log('info', 'grants_problem_solved', { source });
      }
    }
    if (now.ready !== before.ready || now.installedApps !== before.installedApps) {
      this.log('info', 'grants_loaded', { installedApps: now.installedApps, problems: now.problems.length });
    }
  }

  /** Of one file or resource, after each of its changes. */
  warnings(source: string, warnings: readonly (ManifestWarning | SysDataWarning)[]): void {
    for (const warning of warnings.slice(0, MAX_WARNINGS))
      this.log('warn', 'grants_warning', { source, ...warning });
    if (warnings.length > MAX_WARNINGS) {
      this.log('warn', 'grants_warnings_left_off', { source, leftOff: warnings.length - MAX_WARNINGS });
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

function newIn(problems: readonly GrantProblem[], before: readonly GrantProblem[]): readonly GrantProblem[] {
  const known = new Set(before.map((problem) => JSON.stringify(problem)));
  return problems.filter((problem) => !known.has(JSON.stringify(problem)));
}
