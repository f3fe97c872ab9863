import { GrantIndex, type GrantProblem, nameOf } from '../../authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../../authz/grant-source';
import type { SharedWorkspace } from '../../authz/workspace-holders';
import type { InformerDeps } from '../../kubernetes/informer';
import { GrantLog } from '../grant-log';
import { applicationPermissions } from './application-permission';
import type { GrantFeed, GrantFeedObserver, GrantReading, OpenGrantFeed } from './grant-feed';

/** Older grants are not used for decisions. */
export const DEFAULT_MAX_AGE_MS = 10 * 60_000;

/** How long the start waits for the first lists; without them the service starts all the same, not ready. */
const FIRST_LIST_MS = 2_000;

/** Reads grants from the resources of a cluster, which it lists and then watches, by one feed for each kind. */
export class KubernetesGrantSource extends GrantSource {
  protected readonly index = new GrantIndex((user, app) => this.appChanged(user, app));
  private readonly refused = new Map<string, GrantProblem>();
  /** Of a problem, the nameOf() the app whose resource it is. */
  private readonly apps = new WeakMap<GrantProblem, string>();
  private readonly feeds: readonly GrantFeed[];
  private readonly log: GrantLog;
  private logged = this.current;
  private loggedShared: readonly SharedWorkspace[] = [];
  private loggedSharingChanges = 0;
  private outdated = false;
  private isLoggedUnavailable = false;

  private constructor(
    private readonly deps: InformerDeps,
    private readonly maxAgeMs: number,
    feeds: readonly OpenGrantFeed[],
  ) {
    super();
    this.log = new GrantLog(deps.log);
    this.feeds = feeds.map((open) => open({ ...deps, maxAgeMs }, (kind) => this.observerOf(kind)));
  }

  /** Resolves with the first full lists, or without them where the API server refuses or is slow. */
  static async open(
    deps: InformerDeps,
    maxAgeMs = DEFAULT_MAX_AGE_MS,
    feeds: readonly OpenGrantFeed[] = [applicationPermissions],
  ): Promise<KubernetesGrantSource> {
    const source = new KubernetesGrantSource(deps, maxAgeMs, feeds);
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
    const { olares } = this;
    return {
      ...this.current,
      feeds: this.feeds.map(({ name }) => name).filter((name) => name !== ''),
      ...(olares !== undefined && { olares }),
      ...(because !== undefined && { ready: false, unavailableBecause: because }),
    };
  }

  override problemsOf(user: string, app: string): readonly GrantProblem[] {
    const name = nameOf({ user, app });
    const refused = [...this.refused.values()].filter((problem) => this.apps.get(problem) === name);
    return [...refused, ...super.problemsOf(user, app)];
  }

  private get olares(): string | undefined {
    return this.feeds.find((feed) => feed.olares !== undefined)?.olares;
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
        this.markOutdated();
        if (this.isLoggedUnavailable) this.logAvailability();
      },
      outdated: () => this.logAvailability(),
    };
  }

  private get listed(): boolean {
    return this.feeds.every(({ listed }) => listed);
  }

  private unavailableBecause(): string | undefined {
    const missing = this.feeds.find(({ listed }) => !listed);
    if (missing !== undefined) return `the ${missing.name} were not listed yet`;
    if (this.ageMs() <= this.maxAgeMs) return undefined;
    return `the grants were last confirmed more than ${Math.round(this.maxAgeMs / 1000)} s ago`;
  }

  /** Logs that every request is refused from now on, or no longer; a start that succeeds is not logged. */
  private logAvailability(): void {
    const because = this.unavailableBecause();
    if (because !== undefined) {
      const failing = this.feeds.find(({ syncError }) => syncError !== undefined);
      const reason = failing?.syncError ?? 'no answer yet';
      this.deps.log('error', 'grants_unavailable', { because, reason });
    } else if (this.isLoggedUnavailable) this.deps.log('info', 'grants_available');
    this.isLoggedUnavailable = because !== undefined;
  }

  private put(kind: string, source: string, reading: GrantReading): void {
    if (reading.kind === 'outside') return this.remove(source);
    this.markOutdated();
    this.refused.delete(source);
    if (reading.kind === 'leftover') {
      if (this.index.remove(source)) this.logWithdrawn(source);
      this.refused.set(source, { source, reason: reading.reason, servedFromLastGood: false });
      return;
    }
    if (reading.kind !== 'installed') {
      if (this.index.withhold(source, reading.claim)) this.logWithdrawn(source);
      if (reading.kind === 'inactive') return;
      const { reason, line, claim, of = claim?.installed } = reading;
      const at = line === undefined ? {} : { line };
      const problem = { source, reason, ...at, servedFromLastGood: false };
      this.refused.set(source, problem);
      if (of !== undefined) this.apps.set(problem, nameOf(of));
      return;
    }
    const { installed, installedAtMs, warnings, statements } = reading;
    this.index.put(source, installed, installedAtMs, kind, { ...statements, warnings });
    this.log.warnings(source, warnings);
    // For the first list the log of the count is enough.
    if (this.current.ready) {
      const { app, grants } = installed;
      this.deps.log('info', 'grants_read', { source, app, grants: grants.size });
    }
  }

  private remove(source: string): void {
    this.markOutdated();
    this.refused.delete(source);
    if (this.index.remove(source)) this.logWithdrawn(source);
  }

  private logWithdrawn(source: string): void {
    this.deps.log('info', 'grants_withdrawn', { source });
  }

  /** A list changes thousands of apps in one synchronous step, and its outcome is logged once after it. */
  private markOutdated(): void {
    if (this.outdated) return;
    this.outdated = true;
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
    if (this.index.sharingChanges === this.loggedSharingChanges) return;
    this.loggedSharingChanges = this.index.sharingChanges;
    const shared = this.sharedWorkspaces();
    this.log.sharing(shared, this.loggedShared);
    this.loggedShared = shared;
  }

  private refresh(): void {
    if (!this.outdated) return;
    this.outdated = false;
    const problems = [...this.refused.values(), ...this.index.problems()];
    const { size: installedApps, pendingGrants } = this.index;
    this.current = { ready: this.listed, installedApps, problems, pendingGrants };
  }
}
