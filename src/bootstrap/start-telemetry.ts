import type { Clock } from '../time/clock';
import type { Settings } from '../config/settings';
import type { LogEvent } from '../logging/log';
import type { InfisicalMetrics } from '../telemetry/infisical-metrics';
import type { CacheMetrics, DiskMetrics, QuotaMetrics, StoreLoadMetrics } from '../telemetry/store-metrics';
import type { DependencyMetrics, RedisMetrics, WatchMetrics } from '../telemetry/service-metrics';
import type { MetricsServer } from '../telemetry/metrics-server';
import type { LimitMetrics, RequestMetrics } from '../telemetry/request-metrics';
import { bothInfisical, bothRequests, type Telemetry } from '../telemetry/telemetry';
import type { Traces } from '../telemetry/traces';

interface MetricsPart extends Pick<Telemetry, 'listen' | 'close'> {
  readonly requests: RequestMetrics;
  readonly limits: LimitMetrics;
  readonly quotas: QuotaMetrics;
  readonly dependencies: DependencyMetrics;
  readonly storeLoad?: StoreLoadMetrics;
  readonly infisical?: InfisicalMetrics;
  readonly watches?: WatchMetrics;
  readonly cache?: CacheMetrics;
  readonly redis?: RedisMetrics;
  readonly disk?: DiskMetrics;
}

/** Starts the metrics and traces that the settings ask for, and imports only their libraries, which cost start time and memory. */
export async function startTelemetry(
  settings: Settings,
  clock: Clock,
  log: LogEvent,
): Promise<Telemetry | undefined> {
  const [metrics, traces] = await Promise.all([startMetrics(settings, clock), startTraces(settings, log)]);
  const requests = bothRequests(metrics?.requests, traces);
  if (requests === undefined) return undefined;
  const infisical = bothInfisical(metrics?.infisical, traces);
  return {
    requests,
    ...(infisical !== undefined && { infisical }),
    ...(metrics?.watches !== undefined && { watches: metrics.watches }),
    ...(metrics?.cache !== undefined && { cache: metrics.cache }),
    ...(metrics?.redis !== undefined && { redis: metrics.redis }),
    ...(metrics?.disk !== undefined && { disk: metrics.disk }),
    ...(metrics !== undefined && {
      limits: metrics.limits,
      quotas: metrics.quotas,
      dependencies: metrics.dependencies,
    }),
    ...(metrics?.storeLoad !== undefined && { storeLoad: metrics.storeLoad }),
    ...(traces !== undefined && { spans: traces }),
    listen: async (service, probes) => metrics?.listen(service, probes),
    close: async () => {
      await Promise.all([metrics?.close(), traces?.close()]);
    },
  };
}

async function startMetrics(settings: Settings, clock: Clock): Promise<MetricsPart | undefined> {
  const { metrics: address } = settings;
  if (address === undefined) return undefined;
  const { Metrics } = await import('../telemetry/metrics.js');
  const { RequestMetrics, LimitMetrics } = await import('../telemetry/request-metrics.js');
  const { QuotaMetrics, StoreLoadMetrics, CacheMetrics, DiskMetrics } =
    await import('../telemetry/store-metrics.js');
  const { DependencyMetrics, WatchMetrics, RedisMetrics, collectService } =
    await import('../telemetry/service-metrics.js');
  const { InfisicalMetrics } = await import('../telemetry/infisical-metrics.js');
  const { serveMetrics } = await import('../telemetry/metrics-server.js');
  const metrics = new Metrics();
  let server: MetricsServer | undefined;
  return {
    requests: new RequestMetrics(metrics),
    limits: new LimitMetrics(metrics),
    quotas: new QuotaMetrics(metrics),
    dependencies: new DependencyMetrics(metrics),
    ...(settings.store.kind === 'infisical' && {
      storeLoad: new StoreLoadMetrics(metrics),
      infisical: new InfisicalMetrics(metrics, clock),
    }),
    ...(settings.store.kind === 'infisical' &&
      settings.store.cache !== undefined && { cache: new CacheMetrics(metrics) }),
    ...(settings.store.kind === 'embedded' && { disk: new DiskMetrics(metrics) }),
    ...(settings.redis !== undefined && { redis: new RedisMetrics(metrics) }),
    ...(settings.grants.kind === 'kubernetes' && { watches: new WatchMetrics(metrics) }),
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
  const { Traces } = await import('../telemetry/traces.js');
  return new Traces(settings.traces, log);
}
