import type { InstalledApp } from './grant';
import { type GrantProblem, GrantSource } from './grant-source';
import { type Claim, type SharedWorkspace, WorkspaceHolders } from './workspace-holders';

interface InstalledClaim extends Claim {
  readonly installed: InstalledApp;
}

/** How many sources the problem of a conflict names. */
const MAX_NAMED_SOURCES = 5;

/**
 * Indexes all installed apps; each change takes constant time. Of apps with the same app key or the same (user, app) none
 * is served, since nobody can say which one is meant.
 */
export class GrantIndex {
  private readonly bySource = new Map<string, InstalledClaim>();
  private readonly byName = new Map<string, readonly InstalledClaim[]>();
  private readonly byKey = new Map<string, readonly InstalledClaim[]>();
  private readonly conflicting = new Set<InstalledClaim>();
  /** The claims of apps that exist without being served, by source. */
  private readonly withheld = new Map<string, Claim>();
  private readonly holders = new WorkspaceHolders();

  /** The number of apps that are served. */
  get size(): number {
    return this.bySource.size - this.conflicting.size;
  }

  /** @param installedAtMs decides which app was first; where it is not known, the source's name does */
  put(source: string, installed: InstalledApp, installedAtMs = 0): void {
    this.remove(source);
    const candidate = { source, installed, installedAtMs };
    this.bySource.set(source, candidate);
    this.holders.add(candidate);
    const sameName = join(this.byName, nameOf(installed), candidate);
    const sameKey = join(this.byKey, installed.appKey, candidate);
    this.review([...sameName, ...sameKey]);
  }

  /** Removes a source that is gone. Returns false where none of its apps was served. */
  remove(source: string): boolean {
    const claim = this.withheld.get(source);
    if (claim !== undefined) {
      this.withheld.delete(source);
      this.holders.remove(claim);
    }
    const candidate = this.bySource.get(source);
    if (candidate === undefined) return false;
    this.bySource.delete(source);
    this.conflicting.delete(candidate);
    this.holders.remove(candidate);
    const sameName = leave(this.byName, nameOf(candidate.installed), candidate);
    const sameKey = leave(this.byKey, candidate.installed.appKey, candidate);
    this.review([...sameName, ...sameKey]);
    return true;
  }

  /**
   * Serves a source no longer that still exists; its app keeps its workspaces. Returns false where it was not served before.
   * @param claim undefined where it cannot be read: the previous claim then goes on counting
   */
  withhold(source: string, claim: Omit<Claim, 'source'> | undefined): boolean {
    const before = this.bySource.get(source) ?? this.withheld.get(source);
    const served = this.remove(source);
    const now = claim === undefined ? before : { source, ...claim };
    if (now === undefined) return served;
    this.withheld.set(source, now);
    this.holders.add(now);
    return served;
  }

  find(user: string, app: string): InstalledApp | undefined {
    return this.uncontested(this.byName.get(nameOf({ user, app })));
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.uncontested(this.byKey.get(appKey));
  }

  served(): readonly InstalledApp[] {
    return [...this.bySource.values()]
      .filter((candidate) => !this.conflicting.has(candidate))
      .map(({ installed }) => installed);
  }

  holdersOf(user: string, workspace: string): readonly string[] {
    return this.holders.appsOn(user, workspace);
  }

  /** A counter that grows with each change of the shared workspaces. */
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

  private uncontested(candidates: readonly InstalledClaim[] = []): InstalledApp | undefined {
    const [only] = candidates;
    return only === undefined || this.conflicting.has(only) ? undefined : only.installed;
  }

  private review(candidates: readonly InstalledClaim[]): void {
    for (const candidate of candidates) {
      const { installed } = candidate;
      const claims = [this.byName.get(nameOf(installed)), this.byKey.get(installed.appKey)];
      if (claims.some((group = []) => group.length > 1)) this.conflicting.add(candidate);
      else this.conflicting.delete(candidate);
    }
  }
}

type Groups = Map<string, readonly InstalledClaim[]>;

function join(groups: Groups, key: string, candidate: InstalledClaim): readonly InstalledClaim[] {
  const group = [...(groups.get(key) ?? []), candidate];
  groups.set(key, group);
  return group;
}

function leave(groups: Groups, key: string, candidate: InstalledClaim): readonly InstalledClaim[] {
  const group = (groups.get(key) ?? []).filter((other) => other !== candidate);
  if (group.length === 0) groups.delete(key);
  else groups.set(key, group);
  return group;
}

function conflict(
  candidate: InstalledClaim,
  what: string,
  group: readonly InstalledClaim[] = [],
): readonly GrantProblem[] {
  const others = group.filter((other) => other !== candidate).map(({ source }) => source);
  if (others.length === 0) return [];
  const omitted = others.length - MAX_NAMED_SOURCES;
  const named = others.slice(0, MAX_NAMED_SOURCES).join(', ');
  const reason = `the same ${what} as ${named}${omitted > 0 ? ` and ${omitted} more` : ''}; none of them is served`;
  return [{ source: candidate.source, reason, servedFromLastGood: false }];
}

/** Returns a key of (user, app). The length separates the names, so that no two pairs have the same key. */
function nameOf({ user, app }: { readonly user: string; readonly app: string }): string {
  return `${user.length}:${user}${app}`;
}

/** A source that answers from an index. */
export abstract class IndexedGrantSource extends GrantSource {
  protected abstract readonly index: GrantIndex;

  find(user: string, app: string): InstalledApp | undefined {
    return this.index.find(user, app);
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.index.findByKey(appKey);
  }

  holdersOf(user: string, workspace: string): readonly string[] {
    return this.index.holdersOf(user, workspace);
  }

  sharedWorkspaces(): readonly SharedWorkspace[] {
    return this.index.sharedWorkspaces();
  }
}
