import { Mutex } from 'async-mutex';
import { type Wait, waitFor } from '../time/clock';

/** The lock of a scope, held by this replica. */
export interface HeldScope {
  /** Never throws; it works in the background. */
  release(): void;
}

/** Lets one replica at a time write to a scope. */
export abstract class ScopeLock {
  /**
   * Takes the lock of a scope. Where the lock service fails, it resolves as if the lock were held.
   * @returns undefined where others held it for all of `maxWaitMs`
   * @throws the reason of the signal, where that aborts before the lock is held
   */
  abstract hold(scope: string, maxWaitMs: number, signal: AbortSignal): Promise<HeldScope | undefined>;
}

/** The lock of a replica that runs alone: its own queue is all that it needs. */
export const NO_OTHER_REPLICA: ScopeLock = {
  hold: () => Promise.resolve({ release: () => undefined }),
};

/** Runs the work of one key after another, in the order of its arrival; a key's lock exists only while it is held or waited for. */
export class KeyedMutex {
  private readonly locks = new Map<string, Mutex>();

  /** @throws what `wait` says, where the work does not begin in time */
  async run<T>(key: string, work: () => Promise<T>, wait: Wait = {}): Promise<T> {
    const lock = this.locks.get(key) ?? new Mutex();
    this.locks.set(key, lock);
    const acquired = lock.acquire();
    try {
      await waitFor(acquired, wait);
      return await work();
    } finally {
      // One that gave up waiting ends when those before it have ended.
      void acquired.then((release) => {
        release();
        if (!lock.isLocked()) this.locks.delete(key);
      });
    }
  }

  get size(): number {
    return this.locks.size;
  }
}

interface Flight<T> {
  readonly work: Promise<T>;
  readonly abort: AbortController;
  /** How many calls wait for it. */
  calls: number;
}

interface FlightOptions {
  /** Ends the wait of this call with the signal's reason; the work is aborted once no call waits for it any more. */
  readonly signal?: AbortSignal;
  /** Whether a failure concerns only the call that began the work; a call that joined it then begins anew. */
  readonly isOwn?: (error: unknown) => boolean;
}

/** Runs one piece of work at a time for each key; calls that come while it runs share its outcome. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  async run(
    key: string,
    start: (signal: AbortSignal) => Promise<T>,
    options: FlightOptions = {},
  ): Promise<T> {
    const { signal, isOwn } = options;
    const joined = this.#flights.get(key);
    let flight = joined;
    if (flight === undefined) {
      const abort = new AbortController();
      const begun: Flight<T> = {
        work: start(abort.signal).finally(() => this.#end(key, begun)),
        abort,
        calls: 0,
      };
      this.#flights.set(key, begun);
      flight = begun;
    }
    flight.calls += 1;
    try {
      return await (signal === undefined ? flight.work : waitFor(flight.work, { signal }));
    } catch (error: unknown) {
      if (joined === undefined || signal?.aborted === true || isOwn?.(error) !== true) throw error;
    } finally {
      flight.calls -= 1;
      if (flight.calls === 0 && this.#end(key, flight)) flight.abort.abort(signal?.reason);
    }
    return this.run(key, start, options);
  }

  /** Returns whether it was still under way. */
  #end(key: string, flight: Flight<T>): boolean {
    return this.#flights.get(key) === flight && this.#flights.delete(key);
  }
}
