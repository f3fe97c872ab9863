import { Semaphore } from 'async-mutex';
import type { MonotonicTime } from '../../clock/monotonic-time';
import { SystemMonotonicTime } from '../../clock/system-monotonic-time';
import { withinMs } from './within';

/**
 * Real servers hold two of their ten database connections for a write: from ten writes at once they stall for half a
 * minute, and store some of what they then reset. Two replicas of ours stay below that together.
 */
const MAX_WRITES_AT_ONCE = 4;

/** Lets few writes be on the wire at once, first come, first served; nothing else that a write waits for is waited for in here. */
export class WriteSlots {
  readonly #slots = new Semaphore(MAX_WRITES_AT_ONCE);

  constructor(private readonly time: MonotonicTime = new SystemMonotonicTime()) {}

  /**
   * @param send is given what is left of `patienceMs`, which is no less than `shortestMs`
   * @throws late, where no slot is free in time; then nothing is sent
   */
  async run<T>(
    { patienceMs, shortestMs }: { readonly patienceMs: number; readonly shortestMs: number },
    send: (leftMs: number) => Promise<T>,
    late: () => Error,
  ): Promise<T> {
    const sinceMs = this.time.nowMs();
    const slot = this.#slots.acquire();
    try {
      await withinMs(patienceMs - shortestMs, slot, late);
    } catch (error: unknown) {
      void slot.then(([, release]) => release());
      throw error;
    }
    const [, release] = await slot;
    try {
      return await send(Math.max(1, patienceMs - (this.time.nowMs() - sinceMs)));
    } finally {
      release();
    }
  }
}
