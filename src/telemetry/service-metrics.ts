import type { IdentityDependencyName, IdentityDependencyObserver } from '../authn/identity-dependency';
import type { Metrics } from './metrics';
import type { ObservedWatch, WatchObserver } from '../kubernetes/informer-options';
import type { LockOutcome, RedisObserver } from '../redis/redis-failure';
import type { GrantSource } from '../authz/grant-source';
import type { SecretStore } from '../secrets/secret-store';

/** Whether those who are asked about callers answer. */
export class DependencyMetrics implements IdentityDependencyObserver {
  private readonly up;

  constructor(metrics: Metrics) {
    this.up = metrics.gauge('osp_dependency_up');
  }

  dependencyIs(dependency: IdentityDependencyName, isUp: boolean): void {
    this.up.set({ dependency }, isUp ? 1 : 0);
  }
}

/** The watches of the API server by resource: of several on one, the worst counts. */
export class WatchMetrics implements WatchObserver {
  private readonly watches = new Set<ObservedWatch>();

  constructor(metrics: Metrics) {
    const up = metrics.gauge('osp_watch_up');
    const age = metrics.gauge('osp_watch_age_seconds');
    metrics.collectFirst(() => {
      for (const [resource, watches] of this.byResource()) {
        up.set({ resource }, watches.every((watch) => watch.up) ? 1 : 0);
        age.set({ resource }, Math.max(...watches.map((watch) => watch.ageMs())) / 1000);
      }
    });
  }

  watchBegins(watch: ObservedWatch): void {
    this.watches.add(watch);
  }

  watchEnds(watch: ObservedWatch): void {
    this.watches.delete(watch);
  }

  private byResource(): ReadonlyMap<string, readonly ObservedWatch[]> {
    const found = new Map<string, ObservedWatch[]>();
    for (const watch of this.watches) {
      const resource = watch.path.slice(watch.path.lastIndexOf('/') + 1);
      found.set(resource, [...(found.get(resource) ?? []), watch]);
    }
    return found;
  }
}

/** Whether replicas can speak to each other, and how they take turns. */
export class RedisMetrics implements RedisObserver {
  private readonly up;
  private readonly locks;

  constructor(metrics: Metrics) {
    this.up = metrics.gauge('osp_redis_up');
    this.locks = metrics.counter('osp_scope_locks_total');
  }

  connected(isUp: boolean): void {
    this.up.set(isUp ? 1 : 0);
  }

  locked(outcome: LockOutcome): void {
    this.locks.inc({ outcome });
  }
}

/** What is looked at when somebody asks. */
export interface ObservedService {
  readonly store: Pick<SecretStore, 'ping'>;
  readonly grantSource: Pick<GrantSource, 'status' | 'ageMs' | 'sharedWorkspaces'>;
  readonly userRemovalsPending: () => number;
  /** By plural; undefined where nothing is registered. */
  readonly registrationsFailing?: (() => ReadonlyMap<string, number>) | undefined;
}

/** A store that hangs must not take the metrics along: its answer is shown by the next scrape then. */
const PATIENCE_MS = 250;

/** The figures of the service as a whole, collected at each scrape. */
export function collectService(metrics: Metrics, service: ObservedService): void {
  const { grantSource, userRemovalsPending, registrationsFailing } = service;
  const apps = metrics.gauge('osp_grants_apps');
  const problems = metrics.gauge('osp_grants_problems');
  const age = metrics.gauge('osp_grants_age_seconds');
  const shared = metrics.gauge('osp_shared_workspaces');
  const removals = metrics.gauge('osp_user_removals_pending');
  metrics.collectFirst(() => {
    const status = grantSource.status();
    apps.set(status.installedApps);
    problems.set(status.problems.length);
    age.set((grantSource.ageMs() ?? 0) / 1000);
    shared.set(grantSource.sharedWorkspaces().length);
    removals.set(userRemovalsPending());
  });
  collectReadiness(metrics, service.store);
  if (registrationsFailing === undefined) return;
  const failing = metrics.gauge('osp_registrations_failing');
  metrics.collectFirst(() => {
    for (const [resource, count] of registrationsFailing()) failing.set({ resource }, count);
  });
}

function collectReadiness(metrics: Metrics, store: ObservedService['store']): void {
  const ready = metrics.gauge('osp_store_ready');
  let asking: Promise<void> | undefined;
  const ask = async (): Promise<void> => {
    try {
      await store.ping();
      ready.set(1);
    } catch {
      ready.set(0);
    } finally {
      asking = undefined;
    }
  };
  metrics.collectFirst(async () => {
    asking ??= ask();
    await within(PATIENCE_MS, asking);
  });
}

/** Resolves with the work, or without it after so long. */
async function within(maxWaitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const waitLimit = new Promise<void>((resolve) => (timer = setTimeout(resolve, maxWaitMs)));
  await Promise.race([work, waitLimit]);
  clearTimeout(timer);
}
