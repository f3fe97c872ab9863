import type { AuditObserver } from '../audit/audit-trail';
import type { IdentityDependencyObserver } from '../authn/identity-dependency';
import type { GrantSource } from '../authz/grant-source';
import { QUOTA_LIMITS } from '../errors/store-errors';
import type { ObservedRequest, RequestObserver } from '../http/request/begin-request';
import type { ObservedWatch } from '../kubernetes/sync-errors';
import type { LimitsObserver, RefusedFor, RequestKind, ShedFor } from '../limits/rate-limits';
import type { RedisObserver } from '../redis/redis-client';
import type { SecretStore } from '../secrets/secret-store';
import type { CacheObserver } from '../stores/cached/cache-entries';
import type { DiskObserver } from '../stores/embedded/disk-space';
import type { InfisicalObserver } from '../stores/infisical/versions/calls';
import type { QuotaObserver } from '../stores/quota/usage-counters';
import {
  BREAKER_STATES,
  type QueueFigures,
  type StoreLoadObserver,
} from '../stores/resilience/circuit-breaker.secret-store';
import { type Clock, waitFor } from '../time/clock';
import { MAX_WAIT_MS, type Metrics } from './metrics';

// Each function makes the metrics of one feature, and the observer that sets them. Counters of few known labels are exposed from the
// start, so that the first refusal is an increase.

const DENIALS = ['UNAUTHENTICATED', 'NOT_GRANTED', 'USER_MISMATCH'] as const;

/** Requests, counted as they end. */
export function requestMetrics(metrics: Metrics) {
  const requests = metrics.counter('osp_requests_total');
  const durations = metrics.histogram('osp_request_duration_seconds');
  const denials = metrics.counter('osp_denials_total');
  for (const reason of DENIALS) denials.inc({ reason }, 0);
  // One for all requests, since a single request has no state.
  const observed: ObservedRequest = {
    run: (proceed) => proceed(),
    ended: ({ op, code, reason, durationMs }) => {
      requests.inc({ op, code });
      durations.observe({ op }, durationMs / 1000);
      if (reason !== undefined && (code === 401 || code === 403)) denials.inc({ reason });
    },
  };
  return { requestArrives: () => observed } satisfies RequestObserver;
}

const SHARED = ['in_flight', 'bodies', 'answers'] as const;
const BOUNDS: readonly RefusedFor[] = ['app', 'user', ...SHARED];
const KINDS: readonly RequestKind[] = ['read', 'write'];
const CAUSES: readonly ShedFor[] = [...SHARED, 'event_loop', 'queue', 'connections', 'pipelined', 'pieces'];

/** The load, and the requests that were refused by its bounds. */
export function limitMetrics(metrics: Metrics): LimitsObserver {
  const refusals = metrics.counter('osp_requests_refused_total');
  const sheds = metrics.counter('osp_requests_shed_total');
  for (const bound of BOUNDS) for (const kind of KINDS) refusals.inc({ bound, kind }, 0);
  for (const cause of CAUSES) sheds.inc({ cause }, 0);
  return {
    opened: (figures) => {
      metrics.figure('osp_requests_in_flight', () => figures().inFlight);
      metrics.figure('osp_request_body_bytes', () => figures().bodyBytes);
      metrics.figure('osp_answer_bytes', () => figures().answerBytes);
    },
    connectionsOpened: (count) => metrics.figure('osp_connections', count),
    refused: (bound, kind) => refusals.inc({ bound, kind }),
    shed: (cause) => sheds.inc({ cause }),
  };
}

/** How reads use the cache, and how much it holds. */
export function cacheMetrics(metrics: Metrics): CacheObserver {
  const reads = metrics.counter('osp_cache_reads_total');
  const evictions = metrics.counter('osp_cache_evictions_total');
  return {
    opened: (figures) => {
      metrics.figure('osp_cache_entries', () => figures().entries);
      metrics.figure('osp_cache_bytes', () => figures().bytes);
    },
    read: (outcome) => reads.inc({ outcome }),
    evicted: () => evictions.inc(),
  };
}

/** How much the disk of the embedded store can still take. */
export function diskMetrics(metrics: Metrics): DiskObserver {
  return {
    opened: (figures) =>
      metrics.figure('osp_disk_storable_bytes', async () => (await figures()).storableBytes),
  };
}

/** Writes that were refused by a quota. */
export function quotaMetrics(metrics: Metrics): QuotaObserver {
  const refusals = metrics.counter('osp_quota_refusals_total');
  for (const limit of QUOTA_LIMITS) refusals.inc({ limit }, 0);
  return { quotaExceeded: (limit) => refusals.inc({ limit }) };
}

/** The queue and the circuit breaker before the store. */
export function storeLoadMetrics(metrics: Metrics): StoreLoadObserver {
  const refused = metrics.counter('osp_store_queue_refused_total');
  const transitions = metrics.counter('osp_store_breaker_transitions_total');
  for (const to of BREAKER_STATES) transitions.inc({ to }, 0);
  return {
    queueOpened: (figures) => queueMetric(metrics, 'osp_store_queue_calls', figures),
    permitRefused: () => refused.inc(),
    breakerOpened: (current) =>
      void metrics.gauge('osp_store_breaker_state', (gauge) => {
        const now = current();
        for (const state of BREAKER_STATES) gauge.set({ state }, Number(state === now));
      }),
    breakerBecame: (to) => transitions.inc({ to }),
  };
}

function queueMetric(
  metrics: Metrics,
  name: 'osp_store_queue_calls' | 'osp_infisical_writes',
  figures: () => QueueFigures,
): void {
  metrics.gauge(name, (gauge) => {
    const { waiting, underWay } = figures();
    gauge.set({ state: 'waiting' }, waiting);
    gauge.set({ state: 'under_way' }, underWay);
  });
}

const API_VERSIONS = ['fork', 'v3', 'v4'] as const;

/** Calls to Infisical, the session there, and what waits for it. */
export function infisicalMetrics(metrics: Metrics, clock: Clock): InfisicalObserver {
  const calls = metrics.counter('osp_upstream_calls_total');
  const durations = metrics.histogram('osp_upstream_duration_seconds');
  const waits = metrics.histogram('osp_infisical_call_wait_seconds');
  const refused = metrics.counter('osp_infisical_calls_refused_total');
  return {
    opened: (figures) => {
      metrics.gauge('osp_infisical_session_expires_seconds', (gauge) => {
        const endsAtMs = figures.sessionEndsAtMs();
        if (endsAtMs === undefined) gauge.remove();
        else gauge.set(endsAtMs === 0 ? 0 : (endsAtMs - clock.nowMs()) / 1000);
      });
      metrics.gauge('osp_infisical_api_version', (gauge) => {
        const active = figures.apiVersion();
        for (const name of API_VERSIONS) gauge.set({ api_version: name }, Number(name === active));
      });
      metrics.figure('osp_infisical_calls_waiting', () => figures.callsWaiting());
      queueMetric(metrics, 'osp_infisical_writes', () => figures.writes());
    },
    callBegins: ({ method, pathTemplate }) => {
      const route = `${method} ${pathTemplate}`;
      const beganMs = performance.now();
      return {
        headers: {},
        ended: (outcome) => {
          calls.inc({ route, outcome });
          durations.observe({ route }, (performance.now() - beganMs) / 1000);
        },
      };
    },
    waitedForPermit: (waitedMs) => waits.observe(waitedMs / 1000),
    permitRefused: () => refused.inc(),
  };
}

/** Whether the services that authenticate callers answer. */
export function dependencyMetrics(metrics: Metrics): IdentityDependencyObserver {
  const up = metrics.gauge('osp_dependency_up');
  return { dependencyIs: (dependency, isUp) => up.set({ dependency }, Number(isUp)) };
}

/** The watches of the API server by resource; of several on one resource, the worst counts. Returns the set that they are read from. */
export function watchMetrics(metrics: Metrics): Set<ObservedWatch> {
  const watches = new Set<ObservedWatch>();
  const byResource = () => {
    const found = new Map<string, ObservedWatch[]>();
    for (const watch of watches) {
      const resource = watch.path.slice(watch.path.lastIndexOf('/') + 1);
      found.set(resource, [...(found.get(resource) ?? []), watch]);
    }
    return found;
  };
  metrics.gauge('osp_watch_up', (gauge) => {
    for (const [resource, its] of byResource())
      gauge.set({ resource }, Number(its.every((watch) => watch.up)));
  });
  metrics.gauge('osp_watch_age_seconds', (gauge) => {
    for (const [resource, its] of byResource())
      gauge.set({ resource }, Math.max(...its.map((watch) => watch.ageMs())) / 1000);
  });
  return watches;
}

/** Whether the replicas can reach each other through Redis, and how they obtain locks. */
export function redisMetrics(metrics: Metrics): RedisObserver {
  const up = metrics.gauge('osp_redis_up');
  const locks = metrics.counter('osp_scope_locks_total');
  return { connected: (isUp) => up.set(Number(isUp)), locked: (outcome) => locks.inc({ outcome }) };
}

/** Whether the audit trail takes its records. */
export function auditMetrics(metrics: Metrics): AuditObserver {
  const records = metrics.counter('osp_audit_records_total');
  for (const result of ['taken', 'refused']) records.inc({ result }, 0);
  return { recorded: (wasTaken) => records.inc({ result: wasTaken ? 'taken' : 'refused' }) };
}

/** The parts of the service that are read at each scrape. */
export interface ObservedService {
  readonly store: Pick<SecretStore, 'ping'>;
  readonly grantSource: Pick<GrantSource, 'status' | 'ageMs' | 'sharedWorkspaces'>;
  readonly userRemovalsPending: () => number;
  /** By plural; undefined where nothing is registered. */
  readonly registrationsFailing?: (() => ReadonlyMap<string, number>) | undefined;
}

/** Makes the metrics of the service as a whole. */
export function serviceMetrics(metrics: Metrics, service: ObservedService): void {
  const { store, grantSource, userRemovalsPending, registrationsFailing } = service;
  metrics.figure('osp_grants_apps', () => grantSource.status().installedApps);
  metrics.figure('osp_grants_problems', () => grantSource.status().problems.length);
  metrics.figure('osp_grants_pending', () => grantSource.status().pendingGrants ?? 0);
  metrics.figure('osp_grants_age_seconds', () => (grantSource.ageMs() ?? 0) / 1000);
  metrics.figure('osp_shared_workspaces', () => grantSource.sharedWorkspaces().length);
  metrics.figure('osp_user_removals_pending', userRemovalsPending);
  let pinging: Promise<void> | undefined;
  metrics.gauge('osp_store_ready', async (gauge) => {
    pinging ??= store
      .ping()
      .then(
        () => gauge.set(1),
        () => gauge.set(0),
      )
      .finally(() => (pinging = undefined));
    await waitFor(pinging, { maxMs: MAX_WAIT_MS }).catch(() => undefined);
  });
  if (registrationsFailing === undefined) return;
  metrics.gauge('osp_registrations_failing', (gauge) => {
    for (const [resource, count] of registrationsFailing()) gauge.set({ resource }, count);
  });
}
