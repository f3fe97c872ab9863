import type { MonotonicTime } from '../time/clock';

export interface FairQueueBounds {
  readonly maxRunning: number;
  readonly maxRunningPerKey: number;
  readonly maxWaiting: number;
  readonly maxWaitingPerKey: number;
  /** Work that has waited this long is refused. */
  readonly maxWaitMs: number;
  /** Whether work is refused at once when, at the pace of its queue, its permit would come later than that. */
  readonly refusesByPace?: boolean;
}

export type ReleasePermit = () => void;

interface PermitWait {
  /** Where that is less than the queue's own bound. */
  readonly maxWaitMs?: number;
  readonly signal?: AbortSignal;
}

/** The weight of the latest duration in the moving average. */
const AVERAGE_WEIGHT = 0.1;

/** After so many ends of a queue's work the earlier ones count half, so that its pace is the present one. */
const PACE_WINDOW = 64;

interface Waiter {
  /** Called once, with the permit or without one. */
  readonly settle: (permit: ReleasePermit | undefined) => void;
  readonly untilMs: number;
}

/** The waiting work of one key, and the pace at which its work ends. */
class KeyQueue {
  readonly waiters: Waiter[] = [];
  #ended = 0;

  constructor(
    private readonly maxRunning: number,
    private sinceMs: number,
  ) {}

  ended(nowMs: number): void {
    this.#ended += 1;
    if (this.#ended < PACE_WINDOW) return;
    this.#ended /= 2;
    this.sinceMs += (nowMs - this.sinceMs) / 2;
  }

  /** Estimates how long so many pieces of work take, rather too short than too long; undefined until there is a pace. */
  estimateMs(count: number, nowMs: number): number | undefined {
    if (this.#ended < 2 * this.maxRunning) return undefined;
    return (count * (nowMs - this.sinceMs)) / (this.#ended + this.maxRunning - 1);
  }
}

/**
 * Runs a bounded amount of work at once, fairly between keys: the keys get permits in turn, so that one with much work delays
 * the others little. When all places to wait are taken, the longest queue gives its last one up for a shorter one, so that
 * no key can keep the others out.
 */
export class FairQueue {
  /** The waiting work of each key; a key that got a permit moves to the end. */
  readonly #queues = new Map<string, KeyQueue>();
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

  /** Runs the work once its key gets a permit, at once where one is free. @throws as acquire() */
  async run<T>(key: string, work: () => Promise<T>, wait?: PermitWait): Promise<T> {
    const release = this.tryAcquire(key) ?? (await this.acquire(key, wait));
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** Takes a permit where one is free; the returned function gives it back. */
  tryAcquire(key: string): ReleasePermit | undefined {
    const waiters = this.#queues.get(key)?.waiters ?? [];
    return waiters.length === 0 && this.#hasPermitFor(key) ? this.#begin(key) : undefined;
  }

  /** Waits for a permit; the returned function gives it back. @throws the refusal, or the reason of the signal */
  async acquire(key: string, { maxWaitMs = Infinity, signal }: PermitWait = {}): Promise<ReleasePermit> {
    signal?.throwIfAborted();
    const queue = this.#queues.get(key) ?? new KeyQueue(this.bounds.maxRunningPerKey, this.time.nowMs());
    const release = await this.#permitFor(key, queue, Math.min(maxWaitMs, this.bounds.maxWaitMs), signal);
    if (signal?.aborted === true) release?.();
    signal?.throwIfAborted();
    if (release === undefined) throw this.refusal(this.#queueMs(queue));
    return release;
  }

  /** Estimates how long the queue of a key will take, given the others. */
  #queueMs(queue: KeyQueue): number {
    const { maxRunning, maxRunningPerKey } = this.bounds;
    const length = queue.waiters.length + 1;
    const rounds = Math.max(length / maxRunningPerKey, (this.#waiting + 1) / maxRunning);
    return queue.estimateMs(length, this.time.nowMs()) ?? rounds * this.#averageMs;
  }

  /** Resolves to undefined where no permit comes, or would not come in time at the pace of the queue. */
  async #permitFor(
    key: string,
    queue: KeyQueue,
    maxWaitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ReleasePermit | undefined> {
    const { maxWaiting, maxWaitingPerKey } = this.bounds;
    if (maxWaitMs <= 0) return undefined;
    const { waiters } = queue;
    if (waiters.length >= maxWaitingPerKey) return undefined;
    if ((queue.estimateMs(waiters.length + 1, this.time.nowMs()) ?? 0) > maxWaitMs) return undefined;
    if (this.#waiting >= maxWaiting && !this.#evictFor(waiters.length)) return undefined;
    return new Promise((resolve) => {
      const giveUp = (): void => this.#leave(key, waiter);
      const cancel = this.time.after(maxWaitMs, giveUp);
      signal?.addEventListener('abort', giveUp);
      const settle = (permit: ReleasePermit | undefined): void => {
        cancel();
        signal?.removeEventListener('abort', giveUp);
        resolve(permit);
      };
      const waiter: Waiter = { settle, untilMs: this.time.nowMs() + maxWaitMs };
      waiters.push(waiter);
      this.#queues.set(key, queue);
      this.#waiting += 1;
    });
  }

  #hasPermitFor(key: string): boolean {
    const { maxRunning, maxRunningPerKey } = this.bounds;
    return this.#running < maxRunning && (this.#runningPerKey.get(key) ?? 0) < maxRunningPerKey;
  }

  #begin(key: string): ReleasePermit {
    this.#running += 1;
    this.#runningPerKey.set(key, (this.#runningPerKey.get(key) ?? 0) + 1);
    const beganMs = this.time.nowMs();
    return () => this.#end(key, this.time.nowMs() - beganMs);
  }

  #end(key: string, tookMs: number): void {
    this.#averageMs += (this.#averageMs === 0 ? 1 : AVERAGE_WEIGHT) * (tookMs - this.#averageMs);
    const left = (this.#runningPerKey.get(key) ?? 1) - 1;
    if (left === 0) this.#runningPerKey.delete(key);
    else this.#runningPerKey.set(key, left);
    this.#running -= 1;
    if (this.bounds.refusesByPace === true) this.#queues.get(key)?.ended(this.time.nowMs());
    this.#permitNext();
    this.#refuseLate(key);
  }

  #permitNext(): void {
    for (const [next, queue] of this.#queues) {
      const [first] = queue.waiters;
      if (first === undefined || !this.#hasPermitFor(next)) continue;
      this.#queues.delete(next);
      this.#queues.set(next, queue);
      this.#leave(next, first, this.#begin(next));
      return;
    }
  }

  /** Refuses from the end of a queue what would get its permit too late, now and not when its time is up. */
  #refuseLate(key: string): void {
    const [queue, nowMs] = [this.#queues.get(key), this.time.nowMs()];
    while (queue !== undefined) {
      const [last, needMs] = [queue.waiters.at(-1), queue.estimateMs(queue.waiters.length, nowMs)];
      if (last === undefined || needMs === undefined || nowMs + needMs <= last.untilMs) return;
      this.#leave(key, last);
    }
  }

  /** Refuses the last of the longest queue; returns false where no queue would stay longer than one of this length with one more. */
  #evictFor(length: number): boolean {
    let [longestKey, longest]: [string, readonly Waiter[]] = ['', []];
    for (const [key, { waiters }] of this.#queues) {
      if (waiters.length > longest.length) [longestKey, longest] = [key, waiters];
    }
    const last = longest.at(-1);
    if (last === undefined || longest.length <= length + 1) return false;
    this.#leave(longestKey, last);
    return true;
  }

  #leave(key: string, waiter: Waiter, permit?: ReleasePermit): void {
    const waiters = this.#queues.get(key)?.waiters ?? [];
    waiters.splice(waiters.indexOf(waiter), 1);
    this.#waiting -= 1;
    if (waiters.length === 0) this.#queues.delete(key);
    waiter.settle(permit);
  }
}

/** Items by key, in the order in which the keys are served: one of which an item was taken goes to the end. */
export class Line<T> {
  protected readonly queues = new Map<string, T[]>();
  waiting = 0;

  /** Adds an item behind those of its key. */
  push(key: string, item: T): void {
    const queue = this.queues.get(key);
    if (queue === undefined) this.queues.set(key, [item]);
    else queue.push(item);
    this.waiting += 1;
  }

  take(): T | undefined {
    const [first] = this.queues;
    if (first === undefined) return undefined;
    const [key, queue] = first;
    const item = queue.shift();
    this.queues.delete(key);
    if (queue.length > 0) this.queues.set(key, queue);
    this.waiting -= 1;
    return item;
  }
}
