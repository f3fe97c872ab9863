import type { Server } from 'node:http';
import { LRUCache } from 'lru-cache';
import { connectionAccepted } from '../../concurrency/quiet-turn';
import type { MonotonicTime } from '../../time/clock';

/** How many connections an address may open at once after a pause: as many as it may hold. */
const BURST = 500;
/** How many it may open in each second once it has used those up, where no other address does the same. */
const MAX_PER_SECOND = 200;
/** What all addresses that have used up their burst open in a second together; each at least `MIN_PER_SECOND`. */
const MAX_PER_SECOND_TOGETHER = 800;
const MIN_PER_SECOND = 16;
const WINDOW_MS = 1_000;
/** Beyond it the address that connected least recently is forgotten. */
const MAX_ADDRESSES = 10_000;

/**
 * Limits how many connections each address opens, by a token bucket. Clients that connect again as soon as they are closed
 * would have thousands accepted in a second, each with a request, and everybody else waits in the same accept queue.
 */
export class ConnectionRates {
  readonly #buckets = new LRUCache<string, { tokens: number; atMs: number }>({ maxSize: MAX_ADDRESSES });
  /** The addresses that were refused in this window, and how many were in the one before. */
  #refused = new Set<string>();
  #refusedBefore = 0;
  #windowMs = -Infinity;

  constructor(private readonly time: Pick<MonotonicTime, 'nowMs'>) {}

  /** Counts a connection; returns false where the address has opened too many, and then counts nothing. */
  take(address: string): boolean {
    const nowMs = this.time.nowMs();
    const bucket = this.#buckets.get(address) ?? { tokens: BURST, atMs: nowMs };
    bucket.tokens = Math.min(BURST, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * this.#perSecond(nowMs));
    bucket.atMs = nowMs;
    this.#buckets.set(address, bucket, { size: 1 });
    if (bucket.tokens < 1) {
      this.#refused.add(address);
      return false;
    }
    bucket.tokens -= 1;
    return true;
  }

  #perSecond(nowMs: number): number {
    if (nowMs - this.#windowMs >= WINDOW_MS) {
      this.#refusedBefore = nowMs - this.#windowMs < 2 * WINDOW_MS ? this.#refused.size : 0;
      this.#refused = new Set();
      this.#windowMs = nowMs;
    }
    const sharing = Math.max(1, this.#refusedBefore, this.#refused.size);
    return Math.min(MAX_PER_SECOND, Math.max(MIN_PER_SECOND, MAX_PER_SECOND_TOGETHER / sharing));
  }
}

/** What node:net listens with, and what it is given for each accepted connection. */
interface ListeningHandle {
  onconnection?: (error: number, accepted?: AcceptedHandle) => void;
}

interface AcceptedHandle {
  getpeername?(peer: { address?: string }): number;
  close(): void;
}

/**
 * Closes refused connections before node:net makes a socket of them, and node:http a parser, which costs several times as
 * much. The handle is not documented: where it is not as expected, nothing is refused here.
 */
export function refuseConnections(
  server: Pick<Server, 'on'> & { readonly _handle?: ListeningHandle | null },
  isRefused: (address: string) => boolean,
): void {
  server.on('listening', () => {
    const { _handle: handle } = server;
    const accept = handle?.onconnection;
    if (handle === undefined || handle === null || typeof accept !== 'function') return;
    handle.onconnection = (error, accepted) => {
      const peer: { address?: string } = {};
      const hasPeer = accepted?.getpeername?.(peer) === 0 && peer.address !== undefined;
      if (!hasPeer || !isRefused(peer.address ?? '')) return accept.call(handle, error, accepted);
      connectionAccepted();
      accepted?.close();
    };
  });
}
