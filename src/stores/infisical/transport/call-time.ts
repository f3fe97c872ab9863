import { Semaphore } from 'async-mutex';
import { type MonotonicTime, SystemMonotonicTime, type Wait, waitFor } from '../../../time/clock';

/**
 * The time limits of one call: `timeoutMs` for the server, and `maxWaitMs` after which the call ends in any case. Time for which we
 * make the server wait does not count as the server's. The call also ends when the signal of its caller aborts.
 */
export class CallTime {
  readonly #abort = new AbortController();
  readonly #cancelMaxWait: () => void;
  #cancelTimeout: () => void = () => undefined;
  readonly #abortWithCaller = (): void => this.#abort.abort();
  #leftMs: number;
  #sinceMs = 0;

  constructor(
    private readonly timeoutMs: number,
    maxWaitMs: number,
    private readonly time: MonotonicTime,
    private readonly caller?: AbortSignal,
  ) {
    this.#leftMs = timeoutMs;
    if (caller?.aborted === true) this.#abort.abort();
    else caller?.addEventListener('abort', this.#abortWithCaller);
    this.#cancelMaxWait = time.after(maxWaitMs, () => this.#abort.abort());
    this.#startTimeout();
  }

  /** Aborts when the time is up, or the caller has gone. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** How much of its time the server has had. */
  get usedMs(): number {
    return this.timeoutMs - this.#leftMs + this.time.nowMs() - this.#sinceMs;
  }

  /** Waits for `work` without counting that time as the server's. */
  async paused<T>(work: Promise<T>): Promise<T> {
    this.#cancelTimeout();
    this.#leftMs -= this.time.nowMs() - this.#sinceMs;
    try {
      return await work;
    } finally {
      this.#startTimeout();
    }
  }

  end(): void {
    this.#cancelTimeout();
    this.#cancelMaxWait();
    this.caller?.removeEventListener('abort', this.#abortWithCaller);
  }

  #startTimeout(): void {
    this.#sinceMs = this.time.nowMs();
    this.#cancelTimeout = this.time.after(Math.max(1, this.#leftMs), () => this.#abort.abort());
  }
}

/** Waits for a permit, and returns its release. One that comes once the wait has ended is released at once. @throws as waitFor() does */
export async function acquirePermit(semaphore: Semaphore, wait: Wait): Promise<() => void> {
  const permit = semaphore.acquire();
  try {
    const [, release] = await waitFor(permit, wait);
    return release;
  } catch (error: unknown) {
    void permit.then(([, release]) => release());
    throw error;
  }
}

/**
 * Real servers hold two of their ten database connections for a write: from ten writes at once they stall for half a
 * minute, and store some of those whose connections they then reset. Two replicas of ours together stay below that.
 */
const MAX_WRITES_AT_ONCE = 4;

/** The right to send one write. */
export interface WriteSlot {
  /** What is left of the time of the write. */
  readonly leftMs: number;
  readonly release: () => void;
}

/** Bounds the writes that are being sent at once, first come, first served. */
export class WriteSlots {
  readonly #slots = new Semaphore(MAX_WRITES_AT_ONCE);

  constructor(private readonly time: MonotonicTime = new SystemMonotonicTime()) {}

  /**
   * Waits for a slot, of which no less than `minCallMs` of `maxWaitMs` is left then.
   * @throws late() where no slot is free in time, or the reason of the signal; then nothing is to be sent
   */
  async acquire(
    {
      maxWaitMs,
      minCallMs = 0,
      signal,
    }: Readonly<{ maxWaitMs: number; minCallMs?: number; signal?: AbortSignal }>,
    late: () => Error,
  ): Promise<WriteSlot> {
    const sinceMs = this.time.nowMs();
    const wait = { maxMs: maxWaitMs - minCallMs, late, ...(signal !== undefined && { signal }) };
    const release = await acquirePermit(this.#slots, wait);
    return { leftMs: Math.max(1, maxWaitMs - (this.time.nowMs() - sinceMs)), release };
  }
}
