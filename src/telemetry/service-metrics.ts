import { waitFor } from '../time/deadline';
import type { AuditObserver } from '../audit/audit-trail';
import type { IdentityDependencyName, IdentityDependencyObserver } from '../authn/identity-dependency';
import type { Metrics } from './metrics';
import type { ObservedWatch, WatchObserver } from '../kubernetes/sync-errors';
import type { LockOutcome, RedisObserver } from '../redis/redis-failure';
import type { GrantSource } from '../authz/grant-source';
import type { SecretStore } from '../secrets/secret-store';

/** The parts of the service that are read at each scrape. */
export interface ObservedService {
  readonly store: Pick<SecretStore, 'ping'>;
  readonly grantSource: Pick<GrantSource, 'status' | 'ageMs' | 'sharedWorkspaces'>;
  readonly userRemovalsPending: () => number;
  /** By plural; undefined where nothing is registered. */
  readonly registrationsFailing?: (() => ReadonlyMap<string, number>) | undefined;
}

/** A store that hangs must not delay the metrics: the next scrape shows its answer. */
const MAX_WAIT_MS = 250;

/** Collects the figures of the service as a whole at each scrape. */
export function collectService(metrics: Metrics, service: ObservedService): void {
  const { grantSource, userRemovalsPending, registrationsFailing } = service;
  const apps = metrics.gauge('osp_grants_apps');
  const problems = metrics.gauge('osp_grants_problems');
  const pending = metrics.gauge('osp_grants_pending');
  const age = metrics.gauge('osp_grants_age_seconds');
  const shared = metrics.gauge('osp_shared_workspaces');
  const removals = metrics.gauge('osp_user_removals_pending');
  metrics.collectFirst(() => {
    const status = grantSource.status();
    apps.set(status.installedApps);
    problems.set(status.problems.length);
    pending.set(status.pendingGrants ?? 0);
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
  let pinging: Promise<void> | undefined;
  const ping = async (): Promise<void> => {
    try {
      await store.ping();
      ready.set(1);
    } catch {
      ready.set(0);
    } finally {
      pinging = undefined;
    }
  };
  metrics.collectFirst(async () => {
    pinging ??= ping();
    await waitFor(pinging, { maxMs: MAX_WAIT_MS }).catch(() => undefined);
  });
}

/** Whether the services that authenticate callers answer. */
export class DependencyMetrics implements IdentityDependencyObserver {
  private readonly up;

  constructor(metrics: Metrics) {
    this.up = metrics.gauge('osp_dependency_up');
  }

  dependencyIs(dependency: IdentityDependencyName, isUp: boolean): void {
    this.up.set({ dependency }, isUp ? 1 : 0);
  }
}

/** The watches of the API server by resource; of several on one resource, the worst counts. */
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

/** Whether the replicas can reach each other through Redis, and how they obtain locks. */
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

/** Whether the audit trail takes its records; exposed from the start, so that the first refusal is an increase. */
export class AuditMetrics implements AuditObserver {
  private readonly records;

  constructor(metrics: Metrics) {
    this.records = metrics.counter('osp_audit_records_total');
    for (const result of ['taken', 'refused']) this.records.inc({ result }, 0);
  }

  recorded(wasTaken: boolean): void {
    this.records.inc({ result: wasTaken ? 'taken' : 'refused' });
  }
}
