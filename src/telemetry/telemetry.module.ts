import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { factory, Runtime } from '../bootstrap/runtime.module';
import type { Settings } from '../config/settings';
import type { LogEvent } from '../logging/log';
import { Clock } from '../time/clock';
import type { MetricsServer } from './metrics-server';
import { bothInfisical, bothRequests, Telemetry } from './telemetry';
import type { Traces } from './traces';

/** Starts the metrics and traces that the settings ask for, and imports only their libraries, which cost start time and memory. */
export async function startTelemetry(settings: Settings, clock: Clock, log: LogEvent): Promise<Telemetry> {
  const [metrics, traces] = await Promise.all([startMetrics(settings, clock), startTraces(settings, log)]);
  return {
    ...metrics,
    requests: bothRequests(metrics?.requests, traces),
    infisical: bothInfisical(metrics?.infisical, traces),
    spans: traces,
    listen: async (service, probes) => metrics?.listen(service, probes),
    close: async () => {
      await Promise.all([metrics?.close(), traces?.close()]);
    },
  };
}

async function startMetrics(settings: Settings, clock: Clock): Promise<Telemetry | undefined> {
  const { metrics: address, store } = settings;
  if (address === undefined) return undefined;
  const { Metrics } = await import('./metrics.js');
  const observers = await import('./metric-observers.js');
  const { serveMetrics } = await import('./metrics-server.js');
  const metrics = new Metrics();
  const infisical = store.kind === 'infisical' ? store : undefined;
  let server: MetricsServer | undefined;
  return {
    requests: observers.requestMetrics(metrics),
    limits: observers.limitMetrics(metrics),
    quotas: observers.quotaMetrics(metrics),
    dependencies: observers.dependencyMetrics(metrics),
    storeLoad: infisical && observers.storeLoadMetrics(metrics),
    infisical: infisical && observers.infisicalMetrics(metrics, clock),
    cache: infisical?.cache && observers.cacheMetrics(metrics),
    disk: infisical === undefined ? observers.diskMetrics(metrics) : undefined,
    redis: settings.redis && observers.redisMetrics(metrics),
    audit: settings.audit && observers.auditMetrics(metrics),
    watches: settings.grants.kind === 'kubernetes' ? observers.watchMetrics(metrics) : undefined,
    listen: async (service, probes) => {
      observers.serviceMetrics(metrics, service);
      server = await serveMetrics(metrics, probes, address);
      return server.port;
    },
    close: async () => server?.close(),
  };
}

async function startTraces(settings: Settings, log: LogEvent): Promise<Traces | undefined> {
  if (settings.traces === undefined) return undefined;
  const { Traces } = await import('./traces.js');
  return new Traces(settings.traces, log);
}

@Global()
@Module({
  providers: [
    factory(Telemetry, [Runtime, Clock], ({ settings, log }, clock) => startTelemetry(settings, clock, log)),
  ],
  exports: [Telemetry],
})
export class TelemetryModule implements OnApplicationShutdown {
  constructor(private readonly telemetry: Telemetry) {}

  async onApplicationShutdown(): Promise<void> {
    await this.telemetry.close();
  }
}
