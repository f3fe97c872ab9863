import type { LoadFigures, LimitsObserver, RefusedFor, ShedFor, RequestKind } from '../limits/rate-limits';
import type { Metrics } from './metrics';
import type { EndedRequest, ObservedRequest, RequestObserver } from '../http/request/begin-request';

/** Exposed from the start, so that the first denial is an increase. */
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

  /** Returns this object for all requests, since a single request has no state. */
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

const BOUNDS = ['app', 'user', 'in_flight', 'bodies', 'answers'] as const satisfies readonly RefusedFor[];
const KINDS = ['read', 'write'] as const satisfies readonly RequestKind[];
const CAUSES = [
  'in_flight',
  'event_loop',
  'queue',
  'bodies',
  'answers',
  'connections',
  'pipelined',
  'pieces',
] as const satisfies readonly ShedFor[];

/** Requests that were refused by the limits. All values are exposed from the start, so that the first refusal is an increase. */
export class LimitMetrics implements LimitsObserver {
  private readonly refusals;
  private readonly sheds;
  private readonly inFlight;

  constructor(private readonly metrics: Metrics) {
    this.refusals = metrics.counter('osp_requests_refused_total');
    this.sheds = metrics.counter('osp_requests_shed_total');
    this.inFlight = metrics.gauge('osp_requests_in_flight');
    for (const bound of BOUNDS) for (const kind of KINDS) this.refusals.inc({ bound, kind }, 0);
    for (const cause of CAUSES) this.sheds.inc({ cause }, 0);
  }

  opened(figures: () => LoadFigures): void {
    const bodies = this.metrics.gauge('osp_request_body_bytes');
    const answers = this.metrics.gauge('osp_answer_bytes');
    this.metrics.collectFirst(() => {
      const { inFlight, bodyBytes, answerBytes } = figures();
      this.inFlight.set(inFlight);
      bodies.set(bodyBytes);
      answers.set(answerBytes);
    });
  }

  connectionsOpened(count: () => number): void {
    const connections = this.metrics.gauge('osp_connections');
    this.metrics.collectFirst(() => connections.set(count()));
  }

  refused(bound: RefusedFor, kind: RequestKind): void {
    this.refusals.inc({ bound, kind });
  }

  shed(cause: ShedFor): void {
    this.sheds.inc({ cause });
  }
}
