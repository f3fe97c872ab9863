import type { Clock } from '../time/clock';
import type {
  CallUnderWay,
  InfisicalFigures,
  InfisicalObserver,
  ObservedCall,
} from '../stores/infisical/infisical-observer';
import type { Metrics } from './metrics';

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
