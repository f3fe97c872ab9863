import type { RequestListener } from 'node:http';
import type { IdentityDependencyObserver } from '../identity/identity-dependency';
import type { WatchObserver } from '../kubernetes/watched-collection-options';
import type { CacheObserver } from '../cache/cache-observer';
import type { RedisObserver } from '../redis/redis-observer';
import type { RequestObserver } from '../http/request-observer';
import type { ProtectionObserver } from '../protection/protection-observer';
import type { QuotaObserver } from '../protection/quotas';
import type { StoreLoadObserver } from '../protection/store-load-observer';
import type { DiskObserver } from '../store/embedded/disk-observer';
import type { InfisicalObserver } from '../store/infisical/infisical-observer';
import type { ObservedService } from './service-metrics';
import type { Spans } from './spans';

/** What the rooms are given to report to; whatever is absent is off. */
export interface Telemetry {
  readonly requests?: RequestObserver;
  readonly infisical?: InfisicalObserver;
  readonly watches?: WatchObserver;
  readonly dependencies?: IdentityDependencyObserver;
  readonly cache?: CacheObserver;
  readonly protection?: ProtectionObserver;
  readonly storeLoad?: StoreLoadObserver;
  readonly quotas?: QuotaObserver;
  readonly redis?: RedisObserver;
  readonly disk?: DiskObserver;
  readonly spans?: Spans;
  /**
   * Opens the port of the metrics, if there is one, and tells it. `probes` answers /livez and /readyz there.
   * @throws AddressUnusable
   */
  listen(service: ObservedService, probes: RequestListener): Promise<number | undefined>;
  /** Closes the port and sends the last spans, within a few seconds. */
  close(): Promise<void>;
}

/** Tells one, then the other. */
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
    waitedForTurn: (waitedMs) => both.forEach((observer) => observer.waitedForTurn(waitedMs)),
    turnRefused: () => both.forEach((observer) => observer.turnRefused()),
  };
}
