import { Informer } from '../../kubernetes/informer';
import type { InformerDeps } from '../../kubernetes/informer-options';
import {
  APPLICATION_PERMISSIONS,
  type PermissionReading,
  readApplicationPermission,
} from './application-permission';
import { GrantIndex, IndexedGrantSource } from '../../authz/grant-index';
import { GrantLog } from '../grant-log';
import type { GrantProblem, GrantSourceStatus } from '../../authz/grant-source';
import type { SharedWorkspace } from '../../authz/workspace-holders';

/** Nothing is decided on grants that are older. */
export const DEFAULT_MAX_AGE_MS = 10 * 60_000;

/** The start waits so long for the first list; without it the service starts all the same, not ready. */
const FIRST_LIST_MS = 2_000;

/** The ApplicationPermissions of all users, listed once and watched from then on. */
export class KubernetesGrantSource extends IndexedGrantSource {
  protected readonly index = new GrantIndex();
  private readonly refused = new Map<string, GrantProblem>();
  private readonly collection: Informer<PermissionReading>;
  private readonly log: GrantLog;
  private known: GrantSourceStatus = { ready: false, installedApps: 0, problems: [] };
  private told = this.known;
  private toldShared: readonly SharedWorkspace[] = [];
  private toldChanges = 0;
  private outdated = false;
  private isToldUnavailable = false;

  private constructor(
    private readonly around: InformerDeps,
    private readonly maxAgeMs: number,
  ) {
    super();
    this.log = new GrantLog(around.log);
    this.collection = new Informer<PermissionReading>(
      {
        path: APPLICATION_PERMISSIONS,
        read: readApplicationPermission,
        onPut: (source, reading) => this.put(source, reading),
        onRemoved: (source) => this.remove(source),
        onListed: () => {
          this.outdate();
          if (this.isToldUnavailable) this.tellAvailability();
        },
        onOutdated: () => this.tellAvailability(),
      },
      { ...around, maxAgeMs },
    );
  }

  /** Resolves with the first full list, or without it where the API server refuses or takes its time. */
  static async open(around: InformerDeps, maxAgeMs = DEFAULT_MAX_AGE_MS): Promise<KubernetesGrantSource> {
    const source = new KubernetesGrantSource(around, maxAgeMs);
    source.collection.start();
    const waitLimit = new AbortController();
    await Promise.race([source.collection.firstOutcome, around.time.pause(FIRST_LIST_MS, waitLimit.signal)]);
    waitLimit.abort();
    source.tellAvailability();
    return source;
  }

  override ageMs(): number {
    return this.collection.ageMs();
  }

  status(): GrantSourceStatus {
    this.refresh();
    const because = this.unavailableBecause();
    return because === undefined ? this.known : { ...this.known, ready: false, unavailableBecause: because };
  }

  close(): Promise<void> {
    return this.collection.stop();
  }

  private unavailableBecause(): string | undefined {
    if (!this.collection.listed) return 'the ApplicationPermissions were not listed yet';
    if (this.ageMs() <= this.maxAgeMs) return undefined;
    return `the grants were last confirmed more than ${Math.round(this.maxAgeMs / 1000)} s ago`;
  }

  /** From here on every request is refused, or none for this any more; the start of a service that is well is no news. */
  private tellAvailability(): void {
    const because = this.unavailableBecause();
    if (because !== undefined) {
      const reason = this.collection.syncError ?? 'no answer yet';
      this.around.log('error', 'grants_unavailable', { because, reason });
    } else if (this.isToldUnavailable) this.around.log('info', 'grants_available');
    this.isToldUnavailable = because !== undefined;
  }

  private put(source: string, reading: PermissionReading): void {
    if (reading.kind === 'outside') return this.remove(source);
    this.outdate();
    this.refused.delete(source);
    if (reading.kind !== 'installed') {
      if (this.index.withhold(source, reading.claim)) this.tellWithdrawn(source);
      if (reading.kind === 'inactive') return;
      this.refused.set(source, { source, reason: reading.reason, servedFromLastGood: false });
      return;
    }
    const { installed, installedAtMs, warnings } = reading;
    this.index.put(source, installed, installedAtMs);
    this.log.warnings(source, warnings);
    // Of the first list the count is enough.
    if (this.known.ready) {
      const { app, grants } = installed;
      this.around.log('info', 'grants_read', { source, app, grants: grants.size });
    }
  }

  private remove(source: string): void {
    this.outdate();
    this.refused.delete(source);
    if (this.index.remove(source)) this.tellWithdrawn(source);
  }

  private tellWithdrawn(source: string): void {
    this.around.log('info', 'grants_withdrawn', { source });
  }

  /** A list changes thousands of apps in one synchronous step; the log hears of its outcome once. */
  private outdate(): void {
    if (this.outdated) return;
    this.outdated = true;
    queueMicrotask(() => {
      this.refresh();
      this.log.status(this.known, this.told);
      this.told = this.known;
      this.tellSharing();
    });
  }

  /** Not for each event: of 50,000 shared workspaces the comparison alone would hold the event loop. */
  private tellSharing(): void {
    if (this.index.sharingChanges === this.toldChanges) return;
    this.toldChanges = this.index.sharingChanges;
    const shared = this.sharedWorkspaces();
    this.log.sharing(shared, this.toldShared);
    this.toldShared = shared;
  }

  private refresh(): void {
    if (!this.outdated) return;
    this.outdated = false;
    const problems = [...this.refused.values(), ...this.index.problems()];
    this.known = { ready: this.collection.listed, installedApps: this.index.size, problems };
  }
}
