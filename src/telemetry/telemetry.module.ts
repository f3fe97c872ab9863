import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { factory, Runtime } from '../bootstrap/runtime.module';
import type { Settings } from '../config/settings';
import type { LogEvent } from '../logging/log';
import { Clock } from '../time/clock';
import type { Traces } from './traces';
import type { RequestListener } from 'node:http';
import type { AuditObserver } from '../audit/audit-trail';
import type { IdentityDependencyObserver } from '../authn/identity-dependency';
import type { RequestObserver } from '../http/request/begin-request';
import type { ObservedWatch } from '../kubernetes/sync-errors';
import type { LimitsObserver } from '../limits/rate-limits';
import type { RedisObserver } from '../redis/redis-client';
import type { CacheObserver } from '../stores/cached/cache-entries';
import type { DiskObserver } from '../stores/embedded/disk-space';
import type { InfisicalObserver } from '../stores/infisical/versions/calls';
import type { QuotaObserver } from '../stores/quota/usage-counters';
import type { StoreLoadObserver } from '../stores/resilience/circuit-breaker.secret-store';
import type { ObservedService } from './metric-observers';
import type { Spans } from './traced';
import { type MetricsServer, serveMetrics } from './metrics-server';

/** The observers that the features report to; an undefined one is off. */
export abstract class Telemetry {
  readonly requests?: RequestObserver | undefined;
  readonly infisical?: InfisicalObserver | undefined;
  readonly watches?: Set<ObservedWatch> | undefined;
  readonly dependencies?: IdentityDependencyObserver | undefined;
  readonly cache?: CacheObserver | undefined;
  readonly limits?: LimitsObserver | undefined;
  readonly storeLoad?: StoreLoadObserver | undefined;
  readonly quotas?: QuotaObserver | undefined;
  readonly redis?: RedisObserver | undefined;
  readonly disk?: DiskObserver | undefined;
  readonly audit?: AuditObserver | undefined;
  readonly spans?: Spans | undefined;
  /**
   * Opens the port of the metrics, if there is one, and returns it. `probes` answers /livez and /readyz there.
   * @throws AddressUnusable
   */
  abstract listen(service: ObservedService, probes: RequestListener): Promise<number | undefined>;
  /** Closes the port and sends the last spans, within a few seconds. */
  abstract close(): Promise<void>;
}

/** Starts the metrics and traces that the settings ask for, and imports only their libraries, which cost start time and memory. */
export async function startTelemetry(settings: Settings, clock: Clock, log: LogEvent): Promise<Telemetry> {
  const metrics = await startMetrics(settings, clock);
  const traces = await startTraces(settings, log, metrics);
  return {
    ...metrics,
    ...(traces && { requests: traces, infisical: traces, spans: traces }),
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

async function startTraces(
  settings: Settings,
  log: LogEvent,
  metrics: Telemetry | undefined,
): Promise<Traces | undefined> {
  if (settings.traces === undefined) return undefined;
  const { Traces } = await import('./traces.js');
  return new Traces(settings.traces, log, metrics);
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
