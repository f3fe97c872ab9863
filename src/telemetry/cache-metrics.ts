import type { CacheFigures, CacheObserver, ReadOutcome } from '../cache/cache-observer';
import type { Metrics } from './metrics';

/** What the cache spares Infisical, and what it holds. */
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
