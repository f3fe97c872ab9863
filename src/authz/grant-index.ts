import { isDeepStrictEqual } from 'node:util';
import type { Claim, GrantStatements, InstalledApp } from './grant';
import { unitedGrants, WorkspaceHolders } from './grant';

/** A problem that an operator should fix; it may name files and apps, never a key or a secret. */
export interface GrantProblem {
  /** The file or resource, e.g. `otmoiclp/OlaresManifest.yaml`. */
  readonly source: string;
  readonly reason: string;
  /** 1-based, where the source is a text file and the line is known. */
  readonly line?: number;
  /** Whether the app is still served from its last good state. */
  readonly servedFromLastGood: boolean;
}

interface InstalledClaim extends Claim {
  readonly installed: InstalledApp;
  readonly statements: GrantStatements;
  /** The kind of resource that states it, such as `ConfigMap`. */
  readonly kind: string;
}

export type AppListener = (user: string, app: string) => void;

/** How many sources the problem of a conflict names. */
const MAX_NAMED_SOURCES = 5;

/**
 * Indexes all installed apps; each change takes constant time. What resources of different kinds state of one app is
 * united. Of two resources of one kind that state the same (user, app), or of two with the same app key, none is served,
 * since nobody can say which one is meant.
 */
export class GrantIndex {
  private readonly bySource = new Map<string, InstalledClaim>();
  /** The served apps, each united from its claims. */
  private readonly apps = new Map<string, InstalledApp>();
  private readonly appsByKey = new Map<string, InstalledApp>();
  private readonly byName = new Map<string, readonly InstalledClaim[]>();
  private readonly byKey = new Map<string, readonly InstalledClaim[]>();
  private readonly conflicting = new Set<InstalledClaim>();
  /** A counter that grows with each change of problems(). */
  conflictChanges = 0;
  /** The claims of apps that exist without being served, by source. */
  private readonly withheld = new Map<string, Claim>();
  /** Who holds what, by workspace; of the withheld claims too. */
  readonly holders = new WorkspaceHolders();
  /** How many grants are stated and not approved. */
  pendingGrants = 0;

  /** @param onChange called at the end of each change, once for each app that is served otherwise than before */
  constructor(private readonly onChange: AppListener = () => undefined) {}

  /** The number of apps that are served. */
  get size(): number {
    return this.apps.size;
  }

  /**
   * @param installedAtMs decides which app was first; where it is not known, the source's name does
   * @param kind the kind of resource that the source is
   */
  put(
    source: string,
    installed: InstalledApp,
    installedAtMs = 0,
    kind = '',
    statements: GrantStatements = {},
  ): void {
    const left = this.takeOut(source);
    const candidate = { source, installed, installedAtMs, kind, statements };
    this.bySource.set(source, candidate);
    this.holders.add(candidate);
    const sameName = join(this.byName, nameOf(installed), candidate);
    const sameKey = installed.appKey === undefined ? [] : join(this.byKey, installed.appKey, candidate);
    this.review([...left, ...sameName, ...sameKey]);
  }

  /** Removes a source that is gone. Returns false where none of its apps was served. */
  remove(source: string): boolean {
    const wasThere = this.bySource.has(source);
    this.review(this.takeOut(source));
    return wasThere;
  }

  /** Returns the claims to review: the one that was removed, and those that it may have conflicted with. */
  private takeOut(source: string): readonly InstalledClaim[] {
    const claim = this.withheld.get(source);
    if (claim !== undefined) {
      this.withheld.delete(source);
      this.holders.remove(claim);
    }
    const candidate = this.bySource.get(source);
    if (candidate === undefined) return [];
    const { installed } = candidate;
    this.bySource.delete(source);
    if (this.conflicting.delete(candidate)) this.conflictChanges += 1;
    this.holders.remove(candidate);
    const sameName = leave(this.byName, nameOf(installed), candidate);
    const sameKey = installed.appKey === undefined ? [] : leave(this.byKey, installed.appKey, candidate);
    return [candidate, ...sameName, ...sameKey];
  }

  /**
   * Stops serving a source that still exists; its app keeps its workspaces. Returns false where it was not served before.
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
    // The same as nameOf(), without an object for each request.
    return this.apps.get(`${user.length}:${user}${app}`);
  }

  findByKey(appKey: string): InstalledApp | undefined {
    return this.appsByKey.get(appKey);
  }

  served(): Iterable<InstalledApp> {
    return this.apps.values();
  }

  /** Returns the sources that state what a served app holds, or may hold once it is approved. */
  claimsOf(of: Pick<InstalledApp, 'user' | 'app'>): readonly InstalledClaim[] {
    return (this.byName.get(nameOf(of)) ?? []).filter((claim) => !this.conflicting.has(claim));
  }

  /** Returns the sources of an app that are not served for a conflict; with whom is not the app's to know. */
  problemsOf(of: Pick<InstalledApp, 'user' | 'app'>): readonly GrantProblem[] {
    const reason = 'another source states the same app and user, or the same app key; none of them is served';
    return (this.byName.get(nameOf(of)) ?? [])
      .filter((claim) => this.conflicting.has(claim))
      .map(({ source }) => ({ source, reason, servedFromLastGood: false }));
  }

  problems(): readonly GrantProblem[] {
    const inOrder = [...this.conflicting].sort((a, b) => (a.source < b.source ? -1 : 1));
    return inOrder.flatMap((candidate) => [
      ...conflict(candidate, 'app and user', this.rivalsByName(candidate)),
      ...conflict(candidate, 'app key', this.rivalsByKey(candidate)),
    ]);
  }

  private rivalsByName(candidate: InstalledClaim): readonly InstalledClaim[] {
    const group = this.byName.get(nameOf(candidate.installed)) ?? [];
    return group.filter((other) => other !== candidate && other.kind === candidate.kind);
  }

  private rivalsByKey(candidate: InstalledClaim): readonly InstalledClaim[] {
    const { appKey } = candidate.installed;
    const group = appKey === undefined ? [] : (this.byKey.get(appKey) ?? []);
    return group.filter((other) => other !== candidate);
  }

  /** @param candidates all claims whose conflicts may have changed; those that are gone among them */
  private review(candidates: readonly InstalledClaim[]): void {
    for (const candidate of candidates) {
      if (this.bySource.get(candidate.source) !== candidate) continue;
      const rivals = this.rivalsByName(candidate).length + this.rivalsByKey(candidate).length;
      if (this.conflicting.has(candidate) !== rivals > 0) this.conflictChanges += 1;
      if (rivals > 0) this.conflicting.add(candidate);
      else this.conflicting.delete(candidate);
    }
    const affected = new Map(candidates.map(({ installed }) => [nameOf(installed), installed]));
    const changed = [...affected].filter(([name]) => this.unite(name));
    for (const [, { user, app }] of changed) this.onChange(user, app);
  }

  /** Unites the claims of one app anew. Returns whether that changed anything. */
  private unite(name: string): boolean {
    const before = this.apps.get(name);
    const now = united((this.byName.get(name) ?? []).filter((claim) => !this.conflicting.has(claim)));
    if (now === undefined) this.apps.delete(name);
    else this.apps.set(name, now);
    this.pendingGrants += (now?.pending?.size ?? 0) - (before?.pending?.size ?? 0);
    const oldKey = before?.appKey;
    // The key may have passed to another app meanwhile.
    if (oldKey !== undefined && this.appsByKey.get(oldKey) === before) this.appsByKey.delete(oldKey);
    if (now?.appKey !== undefined) this.appsByKey.set(now.appKey, now);
    return !isDeepStrictEqual(before, now);
  }
}

/** What only one of them can state is taken from the first kind in alphabetical order, so that all replicas agree. */
function united(claims: readonly InstalledClaim[]): InstalledApp | undefined {
  const [first, ...rest] = [...claims]
    .sort((a, b) => (a.kind < b.kind ? -1 : 1))
    .map(({ installed }) => installed);
  return rest.reduce<InstalledApp | undefined>(
    (sum, next) => sum && { ...next, ...sum, ...unitedGrants(sum, next) },
    first,
  );
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
  rivals: readonly InstalledClaim[],
): readonly GrantProblem[] {
  const others = rivals.map(({ source }) => source);
  if (others.length === 0) return [];
  const omitted = others.length - MAX_NAMED_SOURCES;
  const named = others.slice(0, MAX_NAMED_SOURCES).join(', ');
  const reason = `the same ${what} as ${named}${omitted > 0 ? ` and ${omitted} more` : ''}; none of them is served`;
  return [{ source: candidate.source, reason, servedFromLastGood: false }];
}

/** Returns a key of (user, app). The length separates the names, so that no two pairs have the same key. */
export function nameOf({ user, app }: { readonly user: string; readonly app: string }): string {
  return `${user.length}:${user}${app}`;
}
