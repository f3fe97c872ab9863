import { QUOTA_LIMITS, type QuotaLimit } from '../errors/store-errors';
import type { QuotaObserver } from '../protection/quotas';
import type { Metrics } from './metrics';

/** Which quotas are met; shown from the start, so that the first refusal is a change. */
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
