import type { Server } from 'node:http';
import { LRUCache } from 'lru-cache';
import { connectionAccepted } from '../../concurrency/quiet-turn';
import { type RateLimit, TokenBucket } from '../../limits/rate-limits';
import type { MonotonicTime } from '../../time/clock';
import { type CallerAddresses, FairTurns } from './fair-turns';

/** How many connections are taken on which no caller is authenticated. */
export abstract class ConnectionBounds {
  /** How many an address may open at once after a pause, and in each second after those, where no other address does the same. */
  abstract readonly ofAddress: RateLimit;
  /** The same for an address on which a caller was authenticated within the last minute. */
  abstract readonly ofCallers: RateLimit;
  /** What all addresses that have used up their burst open in a second together. */
  abstract readonly perSecondTogether: number;
  /** How many become sockets in a second, and at once after a pause. */
  abstract readonly sockets: RateLimit;
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
  readonly #buckets = new LRUCache<string, TokenBucket>({ maxSize: MAX_ADDRESSES });
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
    const { ofAddress, ofCallers } = this.bounds;
    const rate = hasCaller ? ofCallers : { burst: ofAddress.burst, perSecond: this.#perSecond(nowMs) };
    const bucket = this.#buckets.get(address) ?? new TokenBucket(rate.burst, nowMs);
    this.#buckets.set(address, bucket, { size: 1 });
    bucket.refill(rate, nowMs);
    const isTaken = bucket.take();
    if (!isTaken && !hasCaller) this.#refused.add(address);
    return isTaken;
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

/** Each that waits is a descriptor, and up to 130 KiB of what its client has sent already in the memory of the operating system. */
const BOUNDS = { max: 512, maxOfAddress: 256 };

/** What node:net listens with, and what it is given for each accepted connection. */
interface ListeningHandle {
  onconnection?: (error: number, accepted?: AcceptedHandle) => void;
}

interface AcceptedHandle {
  getpeername?(peer: { address?: string }): number;
  close(): void;
}

/** Returns undefined where the client has reset the connection by now. */
function addressOf(accepted: AcceptedHandle): string | undefined {
  const peer: { address?: string } = {};
  return accepted.getpeername?.(peer) === 0 ? peer.address : undefined;
}

interface Acceptance {
  /** Returns whether a connection that was accepted is closed at once. */
  isRefused(address: string): boolean;
  /** Returns whether one that has waited is closed, since its address has all that it may by now. */
  isBeyondShare(address: string): boolean;
  onAccepted(): void;
  onShed(): void;
}

/**
 * Closes refused connections before node:net makes a socket of them, and node:http a parser, which costs several times as
 * much. Of the others they are made by fair turns, so that the queue of the operating system, which is in the order of
 * arrival, is emptied quickly. The handle is not documented: where it is not as expected, connections are taken as Node does.
 */
export function acceptFairly(
  server: Pick<Server, 'on' | 'listening'> & { readonly _handle?: ListeningHandle | null },
  acceptance: Acceptance,
  callers: Pick<CallerAddresses, 'has'>,
  time: Pick<MonotonicTime, 'nowMs'>,
  { sockets }: Pick<ConnectionBounds, 'sockets'>,
): void {
  server.on('listening', () => {
    const { _handle: handle } = server;
    const accept = handle?.onconnection;
    if (handle === undefined || handle === null || typeof accept !== 'function') return;
    interface Waiting {
      readonly address: string;
      readonly accepted: AcceptedHandle;
    }
    const shed = ({ accepted }: Waiting): void => {
      acceptance.onShed();
      accepted.close();
    };
    const begin = (waiting: Waiting): void => {
      if (addressOf(waiting.accepted) === undefined) waiting.accepted.close();
      else if (!server.listening || acceptance.isBeyondShare(waiting.address)) shed(waiting);
      else accept.call(handle, 0, waiting.accepted);
    };
    const turns = new FairTurns({ ...BOUNDS, ofStrangers: sockets }, time, { begin, shed }, callers);
    handle.onconnection = (error, accepted) => {
      if (typeof accepted?.getpeername !== 'function') return accept.call(handle, error, accepted);
      turns.connectionAccepted();
      acceptance.onAccepted();
      const address = addressOf(accepted);
      if (address === undefined) return accepted.close();
      if (acceptance.isRefused(address)) return shed({ address, accepted });
      connectionAccepted();
      turns.add(address, { address, accepted });
    };
    server.on('close', () => turns.shedAll());
  });
}
