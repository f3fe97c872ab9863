import type { DiskFigures, DiskObserver } from '../store/embedded/disk-observer';
import type { Metrics } from './metrics';

/** How full the disk of the embedded store is, looked up at each scrape. */
export class DiskMetrics implements DiskObserver {
  private readonly storable;

  constructor(private readonly metrics: Metrics) {
    this.storable = metrics.gauge('osp_disk_storable_bytes');
  }

  opened(figures: () => Promise<DiskFigures>): void {
    this.metrics.collectFirst(async () => this.storable.set((await figures()).storableBytes));
  }
}
