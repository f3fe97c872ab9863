import type { ObservedWatch, WatchObserver } from '../kubernetes/watched-collection-options';
import type { Metrics } from './metrics';

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
