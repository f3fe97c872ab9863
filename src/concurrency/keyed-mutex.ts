import { Mutex } from 'async-mutex';

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
   */
  abstract hold(scope: string, maxWaitMs: number): Promise<HeldScope | undefined>;
}

/** The lock of a replica that runs alone: its own queue is all that it needs. */
export const NO_OTHER_REPLICA: ScopeLock = {
  hold: () => Promise.resolve({ release: () => undefined }),
};

/** Runs the work of one key after another; a key's lock exists only while it is held or waited for. */
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
