import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  Summary,
  type MetricObjectWithValues,
  type MetricValueWithName,
  collectDefaultMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
} from 'prom-client';
import { METRIC_DEFINITIONS, type MetricDefinition, type NameOf } from './metric-definitions';

/** Counts of sockets and timers by kind: costly with many connections, named like counters, and with unbounded labels. */
const OMITTED = /^nodejs_active_/;

/** Sets metrics that are read only when they are scraped. */
type Collector = () => void | Promise<void>;

/** All metrics of the process, and their text for Prometheus. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  private readonly registry = new Registry();
  private readonly collectors: Collector[] = [];
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

  gauge(name: NameOf<'gauge'>): Gauge {
    return new Gauge(this.configuration(name));
  }

  histogram(name: NameOf<'histogram'>): Histogram {
    return new Histogram({ ...this.configuration(name), buckets: [...METRIC_DEFINITIONS[name].buckets] });
  }

  collectFirst(collector: Collector): void {
    this.collectors.push(collector);
  }

  /** Returns the text of all metrics, which concurrent callers share. */
  exposition(): Promise<string> {
    this.running ??= this.collect().finally(() => (this.running = undefined));
    return this.running;
  }

  private async collect(): Promise<string> {
    await Promise.all(this.collectors.map(async (collect) => collect()));
    return this.registry.metrics();
  }

  private configuration(name: keyof typeof METRIC_DEFINITIONS) {
    const { help, labels = {} }: MetricDefinition = METRIC_DEFINITIONS[name];
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

/** Returns the delay in seconds, from the nanoseconds between two samples. */
function lateness(betweenNs: number): number {
  return Math.max(0, betweenNs / 1e9 - RESOLUTION_MS / 1000);
}
