import type { CacheFigures, CacheObserver, ReadOutcome } from '../stores/cached/cache-entries';
import type { Metrics } from './metrics';
import type { DiskFigures, DiskObserver } from '../stores/embedded/disk-space';
import { QUOTA_LIMITS, type QuotaLimit } from '../errors/store-errors';
import type { QuotaObserver } from '../stores/quota/usage-counters';
import {
  BREAKER_STATES,
  type BreakerState,
  type QueueFigures,
  type StoreLoadObserver,
} from '../stores/resilience/circuit-breaker.secret-store';
import type { Clock } from '../time/clock';
import type {
  CallUnderWay,
  InfisicalFigures,
  InfisicalObserver,
  ObservedCall,
} from '../stores/infisical/infisical-observer';

/** How reads use the cache, and how much it holds. */
export class CacheMetrics implements CacheObserver {
  private readonly reads;
  private readonly evictions;

  constructor(private readonly metrics: Metrics) {
    this.reads = metrics.counter('osp_cache_reads_total');
    this.evictions = metrics.counter('osp_cache_evictions_total');
  }

  opened(figures: () => CacheFigures): void {
    const entries = this.metrics.gauge('osp_cache_entries');
    const bytes = this.metrics.gauge('osp_cache_bytes');
    this.metrics.collectFirst(() => {
      const now = figures();
      entries.set(now.entries);
      bytes.set(now.bytes);
    });
  }

  read(outcome: ReadOutcome): void {
    this.reads.inc({ outcome });
  }

  evicted(): void {
    this.evictions.inc();
  }
}

/** How much the disk of the embedded store can still take, read at each scrape. */
export class DiskMetrics implements DiskObserver {
  private readonly storable;

  constructor(private readonly metrics: Metrics) {
    this.storable = metrics.gauge('osp_disk_storable_bytes');
  }

  opened(figures: () => Promise<DiskFigures>): void {
    this.metrics.collectFirst(async () => this.storable.set((await figures()).storableBytes));
  }
}

/** Writes that were refused by a quota, exposed from the start, so that the first refusal is an increase. */
export class QuotaMetrics implements QuotaObserver {
  private readonly refusals;

  constructor(metrics: Metrics) {
    this.refusals = metrics.counter('osp_quota_refusals_total');
    for (const limit of QUOTA_LIMITS) this.refusals.inc({ limit }, 0);
  }

  quotaExceeded(limit: QuotaLimit): void {
    this.refusals.inc({ limit });
  }
}

/** The queue and the circuit breaker before the store. */
export class StoreLoadMetrics implements StoreLoadObserver {
  private readonly refused;
  private readonly transitions;
  private readonly state;
  private readonly queue;

  constructor(private readonly metrics: Metrics) {
    this.refused = metrics.counter('osp_store_queue_refused_total');
    this.transitions = metrics.counter('osp_store_breaker_transitions_total');
    this.state = metrics.gauge('osp_store_breaker_state');
    this.queue = metrics.gauge('osp_store_queue_calls');
    for (const to of BREAKER_STATES) this.transitions.inc({ to }, 0);
  }

  queueOpened(figures: () => QueueFigures): void {
    this.metrics.collectFirst(() => {
      const { waiting, underWay } = figures();
      this.queue.set({ state: 'waiting' }, waiting);
      this.queue.set({ state: 'under_way' }, underWay);
    });
  }

  permitRefused(): void {
    this.refused.inc();
  }

  breakerOpened(current: () => BreakerState): void {
    this.metrics.collectFirst(() => {
      const now = current();
      for (const state of BREAKER_STATES) this.state.set({ state }, state === now ? 1 : 0);
    });
  }

  breakerBecame(to: BreakerState): void {
    this.transitions.inc({ to });
  }
}

const API_VERSIONS = ['fork', 'v3', 'v4'] as const;

/** Calls to Infisical, the session there, and what waits for it. */
export class InfisicalMetrics implements InfisicalObserver {
  private readonly calls;
  private readonly durations;
  private readonly waits;
  private readonly refused;

  constructor(
    private readonly metrics: Metrics,
    private readonly clock: Clock,
  ) {
    this.calls = metrics.counter('osp_upstream_calls_total');
    this.durations = metrics.histogram('osp_upstream_duration_seconds');
    this.waits = metrics.histogram('osp_infisical_call_wait_seconds');
    this.refused = metrics.counter('osp_infisical_calls_refused_total');
  }

  opened(figures: InfisicalFigures): void {
    const expires = this.metrics.gauge('osp_infisical_session_expires_seconds');
    const apiVersions = this.metrics.gauge('osp_infisical_api_version');
    const callsWaiting = this.metrics.gauge('osp_infisical_calls_waiting');
    const writes = this.metrics.gauge('osp_infisical_writes');
    this.metrics.collectFirst(() => {
      const endsAtMs = figures.sessionEndsAtMs();
      if (endsAtMs === undefined) expires.remove();
      else expires.set(endsAtMs === 0 ? 0 : (endsAtMs - this.clock.nowMs()) / 1000);
      const active = figures.apiVersion();
      for (const apiVersion of API_VERSIONS)
        apiVersions.set({ api_version: apiVersion }, apiVersion === active ? 1 : 0);
      callsWaiting.set(figures.callsWaiting());
      const { waiting, underWay } = figures.writes();
      writes.set({ state: 'waiting' }, waiting);
      writes.set({ state: 'under_way' }, underWay);
    });
  }

  callBegins({ method, pathTemplate }: ObservedCall): CallUnderWay {
    const route = `${method} ${pathTemplate}`;
    const beganMs = performance.now();
    return {
      headers: {},
      ended: (outcome) => {
        this.calls.inc({ route, outcome });
        this.durations.observe({ route }, (performance.now() - beganMs) / 1000);
      },
    };
  }

  waitedForPermit(waitedMs: number): void {
    this.waits.observe(waitedMs / 1000);
  }

  permitRefused(): void {
    this.refused.inc();
  }
}
