import type { GrantProblem } from './grant-source';
import type { InstalledApp } from './installed-app';
import { type SharedWorkspace, WorkspaceHolders } from './workspace-holders';

/** An app, where it was read from (for the problem that names it), and since when it is there. */
export interface InstalledAt {
  readonly source: string;
  readonly installed: InstalledApp;
  readonly installedAtMs: number;
}

/** Of the others in a conflict. */
const SHOWN = 5;

/**
 * All installed apps, changed one at a time in constant time. Apps that claim the same app key or the same (user, app) are
 * not served, all of them, since nobody can say which one is meant.
 */
export class GrantIndex {
  private readonly bySource = new Map<string, InstalledAt>();
  private readonly byName = new Map<string, readonly InstalledAt[]>();
  private readonly byKey = new Map<string, readonly InstalledAt[]>();
  private readonly conflicting = new Set<InstalledAt>();
  private readonly holders = new WorkspaceHolders();

  /** How many are served. */
  get size(): number {
    return this.bySource.size - this.conflicting.size;
  }

  /** @param installedAtMs decides who was first; where it is not known, the source's name does */
  put(source: string, installed: InstalledApp, installedAtMs = 0): void {
    this.remove(source);
    const candidate = { source, installed, installedAtMs };
    this.bySource.set(source, candidate);
    this.holders.add(candidate);
    const sameName = add(this.byName, nameOf(installed), candidate);
    const sameKey = add(this.byKey, installed.appKey, candidate);
    this.review([...sameName, ...sameKey]);
  }

  /** False where there was nothing of it. */
  remove(source: string): boolean {
    const candidate = this.bySource.get(source);
    if (candidate === undefined) return false;
    this.bySource.delete(source);
    this.conflicting.delete(candidate);
    this.holders.remove(candidate);
    const sameName = drop(this.byName, nameOf(candidate.installed), candidate);
    const sameKey = drop(this.byKey, candidate.installed.appKey, candidate);
    this.review([...sameName, ...sameKey]);
    return true;
  }

  find(user: string, app: string): InstalledApp | undefined {
    return this.unrivalled(this.byName.get(nameOf({ user, app })));
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.unrivalled(this.byKey.get(appKey));
  }

  served(): readonly InstalledApp[] {
    return [...this.bySource.values()]
      .filter((candidate) => !this.conflicting.has(candidate))
      .map(({ installed }) => installed);
  }

  holdersOf(user: string, workspace: string): readonly string[] {
    return this.holders.appsOn(user, workspace);
  }

  /** Grows with each change of what is shared. */
  get sharingChanges(): number {
    return this.holders.sharingChanges;
  }

  sharedWorkspaces(): readonly SharedWorkspace[] {
    return this.holders.sharedWorkspaces();
  }

  problems(): readonly GrantProblem[] {
    const inOrder = [...this.conflicting].sort((a, b) => (a.source < b.source ? -1 : 1));
    return inOrder.flatMap((candidate) => [
      ...conflict(candidate, 'app and user', this.byName.get(nameOf(candidate.installed))),
      ...conflict(candidate, 'app key', this.byKey.get(candidate.installed.appKey)),
    ]);
  }

  private unrivalled(candidates: readonly InstalledAt[] = []): InstalledApp | undefined {
    const [only] = candidates;
    return only === undefined || this.conflicting.has(only) ? undefined : only.installed;
  }

  private review(candidates: readonly InstalledAt[]): void {
    for (const candidate of candidates) {
      const { installed } = candidate;
      const claims = [this.byName.get(nameOf(installed)), this.byKey.get(installed.appKey)];
      if (claims.some((group = []) => group.length > 1)) this.conflicting.add(candidate);
      else this.conflicting.delete(candidate);
    }
  }
}

type Groups = Map<string, readonly InstalledAt[]>;

function add(groups: Groups, key: string, candidate: InstalledAt): readonly InstalledAt[] {
  const group = [...(groups.get(key) ?? []), candidate];
  groups.set(key, group);
  return group;
}

function drop(groups: Groups, key: string, candidate: InstalledAt): readonly InstalledAt[] {
  const group = (groups.get(key) ?? []).filter((other) => other !== candidate);
  if (group.length === 0) groups.delete(key);
  else groups.set(key, group);
  return group;
}

function conflict(
  candidate: InstalledAt,
  what: string,
  group: readonly InstalledAt[] = [],
): readonly GrantProblem[] {
  const others = group.filter((other) => other !== candidate).map(({ source }) => source);
  if (others.length === 0) return [];
  const leftOff = others.length > SHOWN ? ` and ${others.length - SHOWN} more` : '';
  const reason = `the same ${what} as ${others.slice(0, SHOWN).join(', ')}${leftOff}; none of them is served`;
  return [{ source: candidate.source, reason, servedFromLastGood: false }];
}

/** The length parts the two names, so that no two pairs ever join to the same text. */
function nameOf({ user, app }: { readonly user: string; readonly app: string }): string {
  return `${user.length}:${user}${app}`;
}
