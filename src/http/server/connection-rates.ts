import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';

/** How many connections are taken on which no caller is authenticated. */
export abstract class ConnectionBounds {
  /** How many an address may open at once after a pause, and in each second after those, where no other address does the same. */
  abstract readonly ofAddress: { readonly burst: number; readonly perSecond: number };
  /** The same for an address on which a caller was authenticated within the last minute. */
  abstract readonly ofCallers: { readonly burst: number; readonly perSecond: number };
  /** What all addresses that have used up their burst open in a second together. */
  abstract readonly perSecondTogether: number;
  /** How many become sockets in a second, and at once after a pause. */
  abstract readonly sockets: { readonly burst: number; readonly perSecond: number };
}

/** What 500 strangers ask in a second takes a quarter of the processor. */
export const CONNECTION_BOUNDS: ConnectionBounds = {
  ofAddress: { burst: 500, perSecond: 20 },
  ofCallers: { burst: 500, perSecond: 200 },
  perSecondTogether: 200,
  sockets: { burst: 250, perSecond: 500 },
};
/** Each of these is a handshake, of one to two milliseconds. */
export const TLS_SOCKETS: ConnectionBounds['sockets'] = { burst: 100, perSecond: 150 };

/** However many addresses have used up their burst. */
const MIN_PER_SECOND = 4;
const WINDOW_MS = 1_000;
/** Beyond it the address that connected least recently is forgotten. */
const MAX_ADDRESSES = 10_000;

/**
 * Limits how many connections each address opens, by a token bucket. Clients that connect again as soon as they are closed
 * would have thousands accepted in a second, each with a request, and everybody else waits in the same accept queue. A connection
 * on which a caller was authenticated does not count, so that whoever opens one for each request is not limited.
 */
export class ConnectionRates {
  readonly #buckets = new LRUCache<string, { tokens: number; atMs: number }>({ maxSize: MAX_ADDRESSES });
  /** The addresses that were refused in this window, and how many were in the one before. */
  #refused = new Set<string>();
  #refusedBefore = 0;
  #windowMs = -Infinity;

  constructor(
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
    private readonly bounds = CONNECTION_BOUNDS,
  ) {}

  /** Counts a connection; returns false where the address has opened too many, and then counts nothing. */
  take(address: string, hasCaller = false): boolean {
    const nowMs = this.time.nowMs();
    const { burst } = hasCaller ? this.bounds.ofCallers : this.bounds.ofAddress;
    const perSecond = hasCaller ? this.bounds.ofCallers.perSecond : this.#perSecond(nowMs);
    const bucket = this.#buckets.get(address) ?? { tokens: burst, atMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    this.#buckets.set(address, bucket, { size: 1 });
    if (bucket.tokens < 1) {
      if (!hasCaller) this.#refused.add(address);
      return false;
    }
    bucket.tokens -= 1;
    return true;
  }

  /** Gives back what a connection took that turned out to be a caller's. */
  giveBack(address: string): void {
    const bucket = this.#buckets.get(address);
    if (bucket !== undefined) bucket.tokens += 1;
  }

  #perSecond(nowMs: number): number {
    if (nowMs - this.#windowMs >= WINDOW_MS) {
      this.#refusedBefore = nowMs - this.#windowMs < 2 * WINDOW_MS ? this.#refused.size : 0;
      this.#refused = new Set();
      this.#windowMs = nowMs;
    }
    const sharing = Math.max(1, this.#refusedBefore, this.#refused.size);
    const { ofAddress, perSecondTogether } = this.bounds;
    return Math.min(ofAddress.perSecond, Math.max(MIN_PER_SECOND, perSecondTogether / sharing));
  }
}
