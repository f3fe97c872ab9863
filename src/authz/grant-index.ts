import { type GrantProblem, GrantSource } from './grant-source';
import type { InstalledApp } from './grant';
import { type Claim, type SharedWorkspace, WorkspaceHolders } from './workspace-holders';

/** An app, where it was read from (for the problem that names it), and since when it is there. */
interface InstalledAt extends Claim {
  readonly installed: InstalledApp;
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
  /** Of apps that are there without being served, by source. */
  private readonly withheld = new Map<string, Claim>();
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
    const sameName = join(this.byName, nameOf(installed), candidate);
    const sameKey = join(this.byKey, installed.appKey, candidate);
    this.review([...sameName, ...sameKey]);
  }

  /** The source is gone. False where it served nothing. */
  remove(source: string): boolean {
    this.forgetClaim(source);
    return this.drop(source);
  }

  /**
   * The source is there and serves nothing: its app keeps what it claims. False where it served nothing before.
   * @param claim undefined where it cannot be read: then what it claimed before counts on
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

  private forgetClaim(source: string): void {
    const claim = this.withheld.get(source);
    if (claim === undefined) return;
    this.withheld.delete(source);
    this.holders.remove(claim);
  }

  private drop(source: string): boolean {
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

  private uncontested(candidates: readonly InstalledAt[] = []): InstalledApp | undefined {
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

function join(groups: Groups, key: string, candidate: InstalledAt): readonly InstalledAt[] {
  const group = [...(groups.get(key) ?? []), candidate];
  groups.set(key, group);
  return group;
}

function leave(groups: Groups, key: string, candidate: InstalledAt): readonly InstalledAt[] {
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

/** A source that keeps what it knows in an index, and answers from there. */
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
