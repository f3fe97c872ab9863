import type { EndedRequest, ObservedRequest, RequestObserver } from '../http/request-observer';
import type { Metrics } from './metrics';

/** Shown from the start, so that the first denial is a change. */
const DENIALS = ['UNAUTHENTICATED', 'NOT_GRANTED', 'USER_MISMATCH'] as const;

/** Counts requests as they end. */
export class RequestMetrics implements RequestObserver, ObservedRequest {
  private readonly requests;
  private readonly durations;
  private readonly denials;

  constructor(metrics: Metrics) {
    this.requests = metrics.counter('osp_requests_total');
    this.durations = metrics.histogram('osp_request_duration_seconds');
    this.denials = metrics.counter('osp_denials_total');
    for (const reason of DENIALS) this.denials.inc({ reason }, 0);
  }

  /** Nothing is kept of a single request. */
  requestArrives(): ObservedRequest {
    return this;
  }

  run(proceed: () => void): void {
    proceed();
  }

  ended({ op, code, reason, durationMs }: EndedRequest): void {
    this.requests.inc({ op, code });
    this.durations.observe({ op }, durationMs / 1000);
    if (reason !== undefined && (code === 401 || code === 403)) this.denials.inc({ reason });
  }
}
