import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { factory, Runtime } from '../bootstrap/runtime.module';
import type { Settings } from '../config/settings';
import type { LogEvent } from '../logging/log';
import { Clock } from '../time/clock';
import type { Traces } from './traces';
import { type RequestListener, createServer, type Server } from 'node:http';
import type { AuditObserver } from '../audit/audit-trail';
import type { IdentityDependencyObserver } from '../authn/identity-dependency';
import type { RequestObserver } from '../http/request/begin-request';
import type { WatchObserver } from '../kubernetes/sync-errors';
import type { LimitsObserver } from '../limits/rate-limits';
import type { RedisObserver } from '../redis/redis-client';
import type { CacheObserver } from '../stores/cached/cache-entries';
import type { DiskObserver } from '../stores/embedded/disk-space';
import type { InfisicalObserver } from '../stores/infisical/versions/calls';
import type { QuotaObserver } from '../stores/quota/usage-counters';
import type { StoreLoadObserver } from '../stores/resilience/circuit-breaker.secret-store';
import type { ObservedService } from './metric-observers';
import type { Spans } from './traced';
import type { AddressInfo, Socket } from 'node:net';
import { carriesBody } from '../http/request/provider-request';
import { limitConnections } from '../http/server/connection-limit';
import { stopParsing } from '../http/server/express-messages';
import type { Metrics } from './metrics';

/** The observers that the features report to; an undefined one is off. */
export abstract class Telemetry {
  readonly requests?: RequestObserver | undefined;
  readonly infisical?: InfisicalObserver | undefined;
  readonly watches?: WatchObserver | undefined;
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

/** Returns an observer that forwards to both; undefined where there is none. */
export function bothRequests(
  first: RequestObserver | undefined,
  second: RequestObserver | undefined,
): RequestObserver | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return {
    requestArrives: (headers) => {
      const [one, other] = [first.requestArrives(headers), second.requestArrives(headers)];
      return {
        run: (proceed) => one.run(() => other.run(proceed)),
        ended: (how) => {
          one.ended(how);
          other.ended(how);
        },
      };
    },
  };
}

/** Returns an observer that forwards to both; undefined where there is none. */
function bothInfisical(
  first: InfisicalObserver | undefined,
  second: InfisicalObserver | undefined,
): InfisicalObserver | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const both = [first, second];
  return {
    opened: (figures) => both.forEach((observer) => observer.opened(figures)),
    callBegins: (call) => {
      const [one, other] = [first.callBegins(call), second.callBegins(call)];
      return {
        headers: { ...one.headers, ...other.headers },
        ended: (outcome, status) => {
          one.ended(outcome, status);
          other.ended(outcome, status);
        },
      };
    },
    waitedForPermit: (waitedMs) => both.forEach((observer) => observer.waitedForPermit(waitedMs)),
    permitRefused: () => both.forEach((observer) => observer.permitRefused()),
  };
}

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

/** Only Prometheus and the kubelet connect. */
const MAX_CONNECTIONS = 64;
/** Both are near, send a few lines at once, and read the answer. */
const ARRIVAL_TIMEOUT_MS = 5_000;
/** The longest life of a connection, whatever is sent on it. */
const CONNECTION_TIMEOUT_MS = 10_000;
const MAX_HEADER_PAIRS = 100;
const PROBE = /^\/(livez|readyz)$/;

const LIMITS = {
  headersTimeout: ARRIVAL_TIMEOUT_MS,
  requestTimeout: ARRIVAL_TIMEOUT_MS,
  // By default Node checks connections every 30 s.
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8 * 1024,
  // Without it, node:http would refuse each of thousands of requests in one packet by itself.
  requireHostHeader: false,
} as const;

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Answers `/metrics`, and the probes as the service itself does, on an address of its own, without TLS and credentials.
 * @throws AddressUnusable
 */
export async function serveMetrics(
  metrics: Metrics,
  probes: RequestListener,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<MetricsServer> {
  const asked = new WeakSet<Socket>();
  const server = createServer(LIMITS, (request, response) => {
    // Each answer ends its connection, so that no client keeps one.
    response.shouldKeepAlive = false;
    if (asked.has(request.socket)) return stopParsing(request.socket);
    asked.add(request.socket);
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead || !(path === '/metrics' || PROBE.test(path))) return void response.writeHead(404).end();
    if (carriesBody(request)) return void response.writeHead(413).end();
    if (request.rawHeaders.length > 2 * MAX_HEADER_PAIRS) return void response.writeHead(431).end();
    if (path !== '/metrics') return probes(request, response);
    void metrics.exposition().then(
      (text) => response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  server.on('connection', endInTime);
  limitConnections(server, MAX_CONNECTIONS);
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Names the settings, since the service listens on another address too. */
export class AddressUnusable extends Error {
  constructor(code: string) {
    super(`METRICS_HOST and METRICS_PORT name an address that cannot be listened on (${code}).`);
    this.name = 'AddressUnusable';
  }
}

function endInTime(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), CONNECTION_TIMEOUT_MS);
  socket.once('close', () => clearTimeout(timer));
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new AddressUnusable(error.code ?? 'unknown')),
    );
    server.listen(port, host, resolve);
  });
}
