import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { EventLoopDelay } from './event-loop-delay';
import { METRIC_DEFINITIONS, type MetricDefinition, type NameOf } from './metric-definitions';

/** Counts of sockets and timers by kind: costly with many connections, named as counters, and of no fixed number. */
const LEFT_OUT = /^nodejs_active_/;

/** What is looked up only when somebody asks for the metrics. */
export type Collector = () => void | Promise<void>;

/** All metrics of the process, and the text in which Prometheus reads them. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  private readonly registry = new Registry();
  private readonly collectors: Collector[] = [];
  private underWay: Promise<string> | undefined;

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    for (const { name } of this.registry.getMetricsAsArray()) {
      if (LEFT_OUT.test(name)) this.registry.removeSingleMetric(name);
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

  /** Computed once at a time: whoever asks meanwhile gets the same text. */
  exposition(): Promise<string> {
    this.underWay ??= this.collected().finally(() => (this.underWay = undefined));
    return this.underWay;
  }

  private async collected(): Promise<string> {
    await Promise.all(this.collectors.map(async (collect) => collect()));
    return this.registry.metrics();
  }

  private configuration(name: keyof typeof METRIC_DEFINITIONS) {
    const { help, labels = {} }: MetricDefinition = METRIC_DEFINITIONS[name];
    return { name, help, labelNames: Object.keys(labels), registers: [this.registry] };
  }
}
