import type { GrantProblem } from './grant-source';
import type { InstalledApp } from './installed-app';

/** An app and where it was read from, for the problem that names it. */
export interface InstalledAt {
  readonly source: string;
  readonly installed: InstalledApp;
}

/**
 * One state of all installed apps, compiled once and never changed: each look-up is one Map access, however many
 * apps there are. Apps that claim the same app key or the same (user, app) are left out, all of them, since nobody
 * can say which one is meant.
 */
export class GrantSnapshot {
  readonly problems: readonly GrantProblem[];
  private readonly byUserAndApp = new Map<string, InstalledApp>();
  private readonly byKey = new Map<string, InstalledApp>();

  constructor(candidates: readonly InstalledAt[]) {
    const ofName = groupedBy(candidates, ({ user, app }) => userAndApp(user, app));
    const ofKey = groupedBy(candidates, ({ appKey }) => appKey);
    const problems: GrantProblem[] = [];
    for (const candidate of candidates) {
      const { source, installed } = candidate;
      const key = userAndApp(installed.user, installed.app);
      const sameName = others(candidate, ofName.get(key));
      const sameKey = others(candidate, ofKey.get(installed.appKey));
      if (sameName !== '') problems.push(conflict(source, `the same app and user as ${sameName}`));
      if (sameKey !== '') problems.push(conflict(source, `the same app key as ${sameKey}`));
      if (sameName !== '' || sameKey !== '') continue;
      this.byUserAndApp.set(key, installed);
      this.byKey.set(installed.appKey, installed);
    }
    this.problems = problems;
  }

  get size(): number {
    return this.byKey.size;
  }

  find(user: string, app: string): InstalledApp | undefined {
    return this.byUserAndApp.get(userAndApp(user, app));
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.byKey.get(appKey);
  }

  installedApps(): Iterable<InstalledApp> {
    return this.byKey.values();
  }
}

/** The length parts the two names, so that no two pairs ever join to the same text. */
function userAndApp(user: string, app: string): string {
  return `${user.length}:${user}${app}`;
}

function groupedBy(
  candidates: readonly InstalledAt[],
  keyOf: (installed: InstalledApp) => string,
): ReadonlyMap<string, readonly InstalledAt[]> {
  const groups = new Map<string, InstalledAt[]>();
  for (const candidate of candidates) {
    const key = keyOf(candidate.installed);
    const group = groups.get(key);
    if (group) group.push(candidate);
    else groups.set(key, [candidate]);
  }
  return groups;
}

function others(candidate: InstalledAt, group: readonly InstalledAt[] = []): string {
  return group
    .filter((other) => other !== candidate)
    .map(({ source }) => source)
    .join(', ');
}

function conflict(source: string, what: string): GrantProblem {
  return { source, reason: `${what}; none of them is served`, servedFromLastGood: false };
}
