import type { GrantStatements, InstalledApp, Claim, SharedWorkspace } from '../../authz/grant';
import { GrantIndex, type GrantProblem } from '../../authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../authz/grant-source';
import type { SysDataWarning } from '../../authz/sys-data';
import type { InformerDeps } from '../../kubernetes/informer';
import type { OlaresRelease } from '../../kubernetes/olares-release';
import { GrantLog, RefusedResources } from '../grant-log';

/** The claim that an app keeps while its resource grants nothing; undefined if the claim cannot be read. */
export type StatedClaim = Omit<Claim, 'source'>;

/** The result of reading one resource. */
export type GrantReading =
  | {
      readonly kind: 'installed';
      readonly installed: InstalledApp;
      readonly installedAtMs: number;
      readonly warnings: readonly (SysDataWarning | { readonly line: number; readonly reason: string })[];
      readonly statements?: Pick<GrantStatements, 'lines' | 'approved'>;
    }
  /** The app is not installed, or not yet: the resource counts for nothing. */
  | { readonly kind: 'notInstalled' }
  /** Its state says that it grants nothing now. */
  | { readonly kind: 'inactive'; readonly claim: StatedClaim | undefined }
  /** What is left of an app that is not installed, or of an Olares that has no such resources: it counts for nothing. */
  | { readonly kind: 'leftover'; readonly reason: string }
  /** It should grant something and cannot; the reason names fields, never their content. */
  | {
      readonly kind: 'refused';
      readonly reason: string;
      /** 1-based, in the text of a manifest. */
      readonly line?: number;
      readonly claim: StatedClaim | undefined;
      /** The app whose resource this is, if the resource's namespace or name alone says so. */
      readonly of?: Pick<InstalledApp, 'user' | 'app'>;
    };

/** What a feed reports to; each call takes effect in the same synchronous step. */
export interface GrantFeedObserver {
  /** @param source names the resource for an operator, and is unique among all feeds */
  put(source: string, reading: GrantReading): void;
  remove(source: string): void;
  /** To be called after each complete list and its puts and removals. */
  listed(): void;
  /** To be called when the feed has become older than its maximum age, and when it no longer is. */
  outdated(): void;
}

/** The resources of one kind that state grants. */
export interface GrantFeed {
  /** Plural, for operators: `ApplicationPermissions`; empty for a feed that states no grants. */
  readonly name: string;
  /** Which Olares was found, if the feed finds that out. */
  readonly olares?: OlaresRelease;
  start(): void;
  /** Resolves with the first complete list, or with the first failure if that comes first. */
  readonly firstOutcome: Promise<void>;
  /** True once everything that the feed needs was listed. Kinds that the cluster does not have are listed and empty. */
  readonly listed: boolean;
  /** Time since the feed was last known to be complete; Infinity before. */
  ageMs(): number;
  /** The failure that repeats, in a few words. */
  readonly syncError: string | undefined;
  stop(): Promise<void>;
}

/** @param kind claims of one kind must not name one app twice; see GrantIndex */
export type OpenGrantFeed = (deps: InformerDeps, observer: (kind: string) => GrantFeedObserver) => GrantFeed;

/** How long the start waits for the first lists; without them the service starts all the same, not ready. */
const FIRST_LIST_MS = 2_000;

/** Reads grants from the resources of a cluster, which it lists and then watches, by one feed for each kind. */
export class KubernetesGrantSource extends GrantSource {
  protected readonly index = new GrantIndex((user, app) => this.appChanged(user, app));
  private readonly refused = new RefusedResources();
  /** How many changes the problems of the status are made of. */
  private problemChanges = 0;
  private readonly feeds: readonly GrantFeed[];
  private readonly log: GrantLog;
  private logged = this.current;
  private loggedShared: readonly SharedWorkspace[] = [];
  private isStatusDirty = false;
  private isLoggedUnavailable = false;

  private constructor(
    private readonly deps: InformerDeps,
    feeds: readonly OpenGrantFeed[],
    private readonly otherSourceNames: readonly string[],
  ) {
    super();
    this.log = new GrantLog(deps.log);
    this.feeds = feeds.map((open) => open(deps, (kind) => this.observerOf(kind)));
  }

  /**
   * Resolves with the first full lists, or without them if the API server refuses or is slow.
   * @param otherSourceNames what else states grants, for the status
   */
  static async open(
    deps: InformerDeps,
    feeds: readonly OpenGrantFeed[],
    otherSourceNames: readonly string[] = [],
  ): Promise<KubernetesGrantSource> {
    const source = new KubernetesGrantSource(deps, feeds, otherSourceNames);
    for (const feed of source.feeds) feed.start();
    const waitLimit = new AbortController();
    await Promise.race([
      Promise.all(source.feeds.map(({ firstOutcome }) => firstOutcome)),
      deps.time.pause(FIRST_LIST_MS, waitLimit.signal),
    ]);
    waitLimit.abort();
    const { feeds: names, olares } = source.status();
    deps.log('info', 'grant_feeds_opened', { feeds: names, ...(olares !== undefined && { olares }) });
    source.logAvailability();
    return source;
  }

  override ageMs(): number {
    return Math.max(...this.feeds.map((feed) => feed.ageMs()));
  }

  override status(): GrantSourceStatus {
    this.refresh();
    const because = this.unavailableBecause();
    const olares = this.feeds.find((feed) => feed.olares !== undefined)?.olares;
    return {
      ...this.current,
      feeds: [...this.feeds.map(({ name }) => name).filter((name) => name !== ''), ...this.otherSourceNames],
      ...(olares !== undefined && { olares }),
      ...(because !== undefined && { ready: false, unavailableBecause: because }),
    };
  }

  override problemsOf(user: string, app: string): readonly GrantProblem[] {
    return [...this.refused.problemsOf(user, app), ...super.problemsOf(user, app)];
  }

  async close(): Promise<void> {
    await Promise.all(this.feeds.map((feed) => feed.stop()));
  }

  private appChanged(user: string, app: string): void {
    this.log.pending(user, app, this.index.find(user, app)?.pending);
    this.changed(user, app);
  }

  private observerOf(kind: string): GrantFeedObserver {
    return {
      put: (source, reading) => this.put(kind, source, reading),
      remove: (source) => this.remove(source),
      listed: () => {
        this.statusChanged();
        if (this.isLoggedUnavailable) this.logAvailability();
      },
      outdated: () => this.logAvailability(),
    };
  }

  private unavailableBecause(): string | undefined {
    const missing = this.feeds.find(({ listed }) => !listed);
    if (missing !== undefined) return `the ${missing.name} were not listed yet`;
    const { maxAgeMs } = this.deps;
    if (this.ageMs() <= maxAgeMs) return undefined;
    return `the grants were last confirmed more than ${Math.round(maxAgeMs / 1000)} s ago`;
  }

  /** Logs that every request is refused from now on, or no longer; a start that succeeds is not logged. */
  private logAvailability(): void {
    const because = this.unavailableBecause();
    if (this.isLoggedUnavailable === (because !== undefined)) return;
    this.isLoggedUnavailable = because !== undefined;
    if (because === undefined) return this.deps.log('info', 'grants_available');
    const failing = this.feeds.find(({ syncError }) => syncError !== undefined);
    const reason = failing?.syncError ?? 'no answer yet';
    this.deps.log('error', 'grants_unavailable', { because, reason });
  }

  private put(kind: string, source: string, reading: GrantReading): void {
    if (reading.kind === 'notInstalled') return this.remove(source);
    this.statusChanged();
    if (reading.kind === 'leftover' || reading.kind === 'refused') this.refused.put(source, reading);
    else this.refused.remove(source);
    if (reading.kind === 'leftover') {
      if (this.index.remove(source)) this.logWithdrawn(source);
      return;
    }
    if (reading.kind !== 'installed') {
      if (this.index.withhold(source, reading.claim)) this.logWithdrawn(source);
      return;
    }
    const { installed, installedAtMs, warnings, statements } = reading;
    this.index.put(source, installed, installedAtMs, kind, { ...statements, warnings });
    this.log.warnings(source, warnings);
    // For the first list the log of the count is enough.
    if (this.current.ready)
      this.deps.log('info', 'grants_read', { source, app: installed.app, grants: installed.grants.size });
  }

  private remove(source: string): void {
    this.statusChanged();
    this.refused.remove(source);
    if (this.index.remove(source)) this.logWithdrawn(source);
  }

  private logWithdrawn(source: string): void {
    this.deps.log('info', 'grants_withdrawn', { source });
  }

  /** A list changes thousands of apps in one synchronous step, and its outcome is logged once after it. */
  private statusChanged(): void {
    if (this.isStatusDirty) return;
    this.isStatusDirty = true;
    queueMicrotask(() => {
      this.refresh();
      this.log.status(this.current, this.logged);
      this.log.newlyPending();
      this.logged = this.current;
      this.logSharing();
    });
  }

  /** Compares only after a change: with 50,000 shared workspaces a comparison for each event would block the event loop. */
  private logSharing(): void {
    const shared = this.sharedWorkspaces();
    if (shared === this.loggedShared) return;
    this.log.sharing(shared, this.loggedShared);
    this.loggedShared = shared;
  }

  /** Made anew only after a change: with 20,000 problems each event would take a tenth of a second. */
  private problems(): readonly GrantProblem[] {
    const changes = this.refused.changes + this.index.conflictChanges;
    if (changes === this.problemChanges) return this.current.problems;
    this.problemChanges = changes;
    return [...this.refused.problems(), ...this.index.problems()];
  }

  private refresh(): void {
    if (!this.isStatusDirty) return;
    this.isStatusDirty = false;
    const { size: installedApps, pendingGrants } = this.index;
    const ready = this.feeds.every(({ listed }) => listed);
    this.current = { ready, installedApps, problems: this.problems(), pendingGrants };
  }
}
