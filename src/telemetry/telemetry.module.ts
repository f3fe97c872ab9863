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
  const { RequestMetrics, LimitMetrics } = await import('./request-metrics.js');
  const { QuotaMetrics, StoreLoadMetrics, CacheMetrics, DiskMetrics, InfisicalMetrics } =
    await import('./store-metrics.js');
  const { AuditMetrics, DependencyMetrics, WatchMetrics, RedisMetrics, collectService } =
    await import('./service-metrics.js');
  const { serveMetrics } = await import('./metrics-server.js');
  const metrics = new Metrics();
  const infisical = store.kind === 'infisical' ? store : undefined;
  let server: MetricsServer | undefined;
  return {
    requests: new RequestMetrics(metrics),
    limits: new LimitMetrics(metrics),
    quotas: new QuotaMetrics(metrics),
    dependencies: new DependencyMetrics(metrics),
    storeLoad: infisical && new StoreLoadMetrics(metrics),
    infisical: infisical && new InfisicalMetrics(metrics, clock),
    cache: infisical?.cache && new CacheMetrics(metrics),
    disk: infisical === undefined ? new DiskMetrics(metrics) : undefined,
    redis: settings.redis && new RedisMetrics(metrics),
    audit: settings.audit && new AuditMetrics(metrics),
    watches: settings.grants.kind === 'kubernetes' ? new WatchMetrics(metrics) : undefined,
    listen: async (service, probes) => {
      collectService(metrics, service);
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
