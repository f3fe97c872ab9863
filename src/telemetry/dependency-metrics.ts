import type { IdentityDependencyName, IdentityDependencyObserver } from '../authn/identity-dependency';
import type { Metrics } from './metrics';
import type { ObservedWatch, WatchObserver } from '../kubernetes/informer-options';
import type { LockOutcome, RedisObserver } from '../redis/redis-failure';

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
