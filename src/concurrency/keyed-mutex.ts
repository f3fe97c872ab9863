import { Mutex } from 'async-mutex';
import { type Wait, waitFor } from '../time/deadline';

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
