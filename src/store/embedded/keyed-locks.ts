import { Mutex } from 'async-mutex';

/** One lock per key, which lives only while somebody holds it or waits for it. */
export class KeyedLocks {
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
