import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Summary, type MetricObjectWithValues, type MetricValueWithName } from 'prom-client';
import { METRIC_DEFINITIONS } from './metric-definitions';

const NAME = 'osp_event_loop_delay_seconds';
const QUANTILES = [0.5, 0.9, 0.99, 1];
/** How often the loop is looked at. A loop in time shows this much too, so it is taken off. */
const RESOLUTION_MS = 20;

/** A summary over the time since the last scrape; the library's own is over the last values it was given. */
export class EventLoopDelay extends Summary {
  private readonly delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  private count = 0;
  private sumSeconds = 0;

  constructor() {
    super({ name: NAME, help: METRIC_DEFINITIONS[NAME].help, registers: [] });
    this.delays.enable();
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const { delays } = this;
    const quantiles = QUANTILES.map((quantile) => ({
      metricName: NAME,
      labels: { quantile },
      value: delays.count === 0 ? 0 : lateness(delays.percentile(quantile * 100)),
    }));
    this.count += delays.count;
    if (delays.count > 0) this.sumSeconds += delays.count * lateness(delays.mean);
    delays.reset();
    const values = [
      ...quantiles,
      { metricName: `${NAME}_sum`, labels: {}, value: this.sumSeconds },
      { metricName: `${NAME}_count`, labels: {}, value: this.count },
    ];
    return { ...(await super.get()), values };
  }
}

/** Seconds, of the nanoseconds between two looks. */
function lateness(betweenNs: number): number {
  return Math.max(0, betweenNs / 1e9 - RESOLUTION_MS / 1000);
}
