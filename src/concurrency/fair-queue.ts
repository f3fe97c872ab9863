import type { MonotonicTime } from '../time/clock';

export interface FairQueueBounds {
  readonly maxRunning: number;
  readonly maxRunningPerKey: number;
  readonly maxWaiting: number;
  readonly maxWaitingPerKey: number;
  /** Work that has waited this long is refused. */
  readonly maxWaitMs: number;
}

/** The weight of the latest duration in the moving average. */
const AVERAGE_WEIGHT = 0.1;

/** Called once, with whether the work has got its permit. */
type Waiter = (isPermitted: boolean) => void;

/**
 * Runs a bounded amount of work at once, fairly between keys: the keys get permits in turn, so that one with much work delays
 * the others little. When all places to wait are taken, the longest queue gives its last one up for a shorter one, so that
 * no key can keep the others out.
 */
export class FairQueue {
  /** The waiting work of each key; a key that got a permit moves to the end. */
  readonly #queues = new Map<string, Waiter[]>();
  readonly #runningPerKey = new Map<string, number>();
  #waiting = 0;
  #running = 0;
  /** Moving average of how long a piece of work takes. */
  #averageMs = 0;

  constructor(
    private readonly bounds: FairQueueBounds,
    private readonly time: MonotonicTime,
    /** Makes the error for work that finds no place or waits too long; `queueMs` is about when the key's queue will be done. */
    private readonly refusal: (queueMs: number) => Error,
  ) {}

  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    return this.#running;
  }

  /**
   * Runs the work once its key gets a permit, at once where one is free.
   * @param waitedMs how long the same work has waited elsewhere, which counts
   * @throws the refusal
   */
  async run<T>(key: string, work: () => Promise<T>, waitedMs = 0): Promise<T> {
    const queue = this.#queues.get(key) ?? [];
    if (queue.length === 0 && this.#hasPermitFor(key)) this.#begin(key);
    else if (!(await this.#permitFor(key, queue, waitedMs))) throw this.refusal(this.#queueMs(queue));
    const beganMs = this.time.nowMs();
    try {
      return await work();
    } finally {
      const tookMs = this.time.nowMs() - beganMs;
      this.#averageMs += (this.#averageMs === 0 ? 1 : AVERAGE_WEIGHT) * (tookMs - this.#averageMs);
      this.#end(key);
    }
  }

  /** Estimates how long the queue of a key will take, given the others. */
  #queueMs(queue: readonly Waiter[]): number {
    const { maxRunning, maxRunningPerKey } = this.bounds;
    const rounds = Math.max((queue.length + 1) / maxRunningPerKey, (this.#waiting + 1) / maxRunning);
    return rounds * this.#averageMs;
  }

  /** Resolves to false where no permit comes. */
  #permitFor(key: string, queue: Waiter[], waitedMs: number): boolean | Promise<boolean> {
    const { maxWaiting, maxWaitingPerKey } = this.bounds;
    const maxWaitMs = this.bounds.maxWaitMs - waitedMs;
    if (maxWaitMs <= 0) return false;
    if (queue.length >= maxWaitingPerKey) return false;
    if (this.#waiting >= maxWaiting && !this.#evictFor(queue)) return false;
    return new Promise((resolve) => {
      const cancel = this.time.after(maxWaitMs, () => this.#leave(key, waiter, false));
      const waiter: Waiter = (isPermitted) => {
        cancel();
        resolve(isPermitted);
      };
      queue.push(waiter);
      this.#queues.set(key, queue);
      this.#waiting += 1;
    });
  }

  #hasPermitFor(key: string): boolean {
    const { maxRunning, maxRunningPerKey } = this.bounds;
    return this.#running < maxRunning && (this.#runningPerKey.get(key) ?? 0) < maxRunningPerKey;
  }

  #begin(key: string): void {
    this.#running += 1;
    this.#runningPerKey.set(key, (this.#runningPerKey.get(key) ?? 0) + 1);
  }

  #end(key: string): void {
    const left = (this.#runningPerKey.get(key) ?? 1) - 1;
    if (left === 0) this.#runningPerKey.delete(key);
    else this.#runningPerKey.set(key, left);
    this.#running -= 1;
    for (const [next, queue] of this.#queues) {
      const [first] = queue;
      if (first === undefined || !this.#hasPermitFor(next)) continue;
      this.#queues.delete(next);
      this.#queues.set(next, queue);
      this.#begin(next);
      this.#leave(next, first, true);
      return;
    }
  }

  /** Refuses the last of the longest queue; returns false where no queue would stay longer than this one with one more. */
  #evictFor(queue: readonly Waiter[]): boolean {
    let [longestKey, longest]: [string, readonly Waiter[]] = ['', []];
    for (const [key, other] of this.#queues) {
      if (other.length > longest.length) [longestKey, longest] = [key, other];
    }
    const last = longest.at(-1);
    if (last === undefined || longest.length <= queue.length + 1) return false;
    this.#leave(longestKey, last, false);
    return true;
  }

  #leave(key: string, waiter: Waiter, isPermitted: boolean): void {
    const queue = this.#queues.get(key) ?? [];
    queue.splice(queue.indexOf(waiter), 1);
    this.#waiting -= 1;
    if (queue.length === 0) this.#queues.delete(key);
    waiter(isPermitted);
  }
}
