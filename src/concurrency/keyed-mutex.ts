import { Mutex } from 'async-mutex';

/** A scope that nobody else writes to until it is let go. */
export interface HeldScope {
  /** Never throws, and is not waited for. */
  release(): void;
}

/** Lets one replica at a time write to a scope. */
export interface ScopeLock {
  /**
   * Where the lock cannot be had for other reasons than that somebody has it, the answer is as if it were held.
   * @returns undefined where others had it for all of `maxWaitMs`
   */
  hold(scope: string, maxWaitMs: number): Promise<HeldScope | undefined>;
}

/** One replica alone: its own queue is all that is needed. */
export const NO_OTHER_REPLICA: ScopeLock = {
  hold: () => Promise.resolve({ release: () => undefined }),
};

/** One lock per key, which lives only while somebody holds it or waits for it. */
export class KeyedMutex {
  private readonly locks = new Map<string, Mutex>();

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const lock = this.locks.get(key) ?? new Mutex();
    this.locks.set(key, lock);
    try {
      return await lock.runExclusive(work);
    } finally {
      if (!lock.isLocked()) this.locks.delete(key);
    }
  }

  get size(): number {
    return this.locks.size;
  }
}
