import type { RequestListener } from 'node:http';
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

/** Records parts of a request as spans, with nothing of their result or error but the reason. */
export interface Spans {
  /** Does the work within a span; outside of a traced request, without one. */
  during<T>(name: string, work: () => Promise<T>): Promise<T>;
  duringSync<T>(name: string, work: () => T): T;
}

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
export function bothInfisical(
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
