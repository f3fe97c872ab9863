import { monitorEventLoopDelay } from 'node:perf_hooks';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, Summary } from 'prom-client';
import { waitFor } from '../time/clock';
import { METRIC_DEFINITIONS, type MetricName, type NameOf } from './metric-definitions';

/** A store or a disk that hangs must not delay the metrics: the next scrape shows its answer. */
export const MAX_WAIT_MS = 250;

/** Counts of sockets and timers by kind: costly with many connections, named like counters, and with unbounded labels. */
const OMITTED = /^nodejs_active_/;

/** All metrics of the process, and their text for Prometheus. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  private readonly registry = new Registry();
  private running: Promise<string> | undefined;

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    for (const { name } of this.registry.getMetricsAsArray()) {
      if (OMITTED.test(name)) this.registry.removeSingleMetric(name);
    }
    this.registry.registerMetric(new EventLoopDelay());
  }

  counter(name: NameOf<'counter'>): Counter {
    return new Counter(this.configuration(name));
  }

  /** @param collect sets the gauge at each scrape */
  gauge(name: NameOf<'gauge'>, collect: (gauge: Gauge) => void | Promise<void> = () => undefined): Gauge {
    return new Gauge({
      ...this.configuration(name),
      collect() {
        return collect(this);
      },
    });
  }

  /**
   * Makes a gauge without labels that is read at each scrape. What cannot be read is left out, and so is what has hung since the
   * scrape before.
   */
  figure(name: NameOf<'gauge'>, read: () => number | Promise<number>): void {
    let reading: Promise<void> | undefined;
    const readInto = async (gauge: Gauge): Promise<void> => {
      try {
        gauge.set(await read());
      } catch {
        gauge.remove();
      }
    };
    const made = this.gauge(name, async (gauge) => {
      if (reading !== undefined) gauge.remove();
      reading ??= readInto(gauge).finally(() => (reading = undefined));
      await waitFor(reading, { maxMs: MAX_WAIT_MS }).catch(() => undefined);
    });
    // It would be 0 until it is read.
    made.remove();
  }

  histogram(name: NameOf<'histogram'>): Histogram {
    return new Histogram({ ...this.configuration(name), buckets: [...METRIC_DEFINITIONS[name].buckets] });
  }

  /** Returns the text of all metrics, which concurrent callers share. */
  exposition(): Promise<string> {
    return (this.running ??= this.registry.metrics().finally(() => (this.running = undefined)));
  }

  private configuration(name: MetricName) {
    const { help, labels } = METRIC_DEFINITIONS[name];
    return { name, help, labelNames: Object.keys(labels), registers: [this.registry] };
  }
}

const NAME = 'osp_event_loop_delay_seconds';
const QUANTILES = [0.5, 0.9, 0.99, 1];
/** How often the loop is sampled. A loop that is in time shows this delay too, so it is subtracted. */
const RESOLUTION_MS = 20;

/** A summary over the time since the last scrape; the library's own is over its last values. */
class EventLoopDelay extends Summary {
  private readonly delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  private count = 0;
  private sumSeconds = 0;

  constructor() {
    super({ name: NAME, help: METRIC_DEFINITIONS[NAME].help, registers: [] });
    this.delays.enable();
  }

  override async get() {
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

/** Returns the delay in seconds, from the nanoseconds between two samples. */
function lateness(betweenNs: number): number {
  return Math.max(0, betweenNs / 1e9 - RESOLUTION_MS / 1000);
}
