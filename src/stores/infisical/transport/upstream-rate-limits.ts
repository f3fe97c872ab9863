import { Semaphore } from 'async-mutex';
import { type MonotonicTime, SystemMonotonicTime } from '../../../time/clock';
import { waitFor } from '../../../time/deadline';
import { RateLimitWindow, type RateReport } from './rate-limit-window';

/** Calls back once, later; returns a function that cancels it. */
export type Alarm = (afterMs: number, ring: () => void) => () => void;

/** The rate limits have no permit for this call within its time. */
export class NoPermitInTime extends Error {
  constructor(readonly retryAfterMs: number) {
    super('The rate limits have no permit for this call in time.');
    this.name = 'NoPermitInTime';
  }
}

interface WaitingCall {
  readonly sinceMs: number;
  readonly untilMs: number;
  admit(waitedMs: number): void;
  refuse(error: NoPermitInTime): void;
}

interface RouteQueue {
  readonly window: RateLimitWindow;
  /** First come, first served. */
  readonly waiting: WaitingCall[];
  cancelAlarm: () => void;
}

const byTimeout: Alarm = (afterMs, ring) => {
  const timer = setTimeout(ring, afterMs);
  return () => clearTimeout(timer);
};

/** Keeps within the servers' rate limits ahead of them: each route has a queue, in which a call gets its permit or is refused at once. */
export class UpstreamRateLimits {
  readonly #queues = new Map<string, RouteQueue>();

  constructor(
    private readonly clock: Pick<MonotonicTime, 'nowMs'>,
    private readonly alarm: Alarm = byTimeout,
  ) {}

  /**
   * Takes a permit where one is free. The call must then be sent, and settled.
   * @param route method and path template: there are few, so their queues are never removed
   */
  tryAcquire(route: string): boolean {
    const { waiting, window } = this.#queueOf(route);
    if (waiting.length > 0 || !window.isFree(this.clock.nowMs())) return false;
    window.take();
    return true;
  }

  /**
   * Waits for a permit, and returns how long. The call must then be sent, and settled.
   * @throws NoPermitInTime at once where there would be no permit within `maxWaitMs`, or the reason of the signal
   */
  async acquire(route: string, maxWaitMs: number, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    if (this.tryAcquire(route)) return 0;
    const queue = this.#queueOf(route);
    const nowMs = this.clock.nowMs();
    const waitMs = queue.window.waitMs(nowMs, queue.waiting.length);
    if (waitMs >= maxWaitMs) throw new NoPermitInTime(waitMs);
    const leave = new AbortController();
    try {
      return await new Promise<number>((admit, refuse) => {
        const call = { sinceMs: nowMs, untilMs: nowMs + maxWaitMs, admit, refuse };
        signal?.addEventListener('abort', () => this.#leave(queue, call), { signal: leave.signal });
        queue.waiting.push(call);
        this.#setAlarm(queue, nowMs);
      });
    } catch (error: unknown) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      leave.abort();
    }
  }

  /** Ends the wait of a call that nobody waits for any more. */
  #leave(queue: RouteQueue, call: WaitingCall): void {
    const at = queue.waiting.indexOf(call);
    if (at < 0) return;
    queue.waiting.splice(at, 1);
    call.refuse(new NoPermitInTime(0));
    this.#admitWaiting(queue);
  }

  /** Notes the end of a call that had a permit. */
  settle(route: string, report: RateReport | undefined): void {
    const queue = this.#queueOf(route);
    queue.window.settle(report, this.clock.nowMs());
    this.#admitWaiting(queue);
  }

  /** The number of waiting calls, over all routes. */
  get waiting(): number {
    return [...this.#queues.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Refuses all waiting calls. */
  close(): void {
    for (const queue of this.#queues.values()) {
      queue.cancelAlarm();
      for (const call of queue.waiting.splice(0)) call.refuse(new NoPermitInTime(0));
    }
  }

  #queueOf(route: string): RouteQueue {
    const existing = this.#queues.get(route);
    if (existing !== undefined) return existing;
    const queue = { window: new RateLimitWindow(), waiting: [], cancelAlarm: () => undefined };
    this.#queues.set(route, queue);
    return queue;
  }

  #admitWaiting(queue: RouteQueue): void {
    const nowMs = this.clock.nowMs();
    while (queue.waiting.length > 0 && queue.window.isFree(nowMs)) {
      const first = queue.waiting.shift();
      if (first === undefined) break;
      // A write that is sent with no time left would be cut off at once, and its outcome would be unknown.
      if (nowMs >= first.untilMs) {
        first.refuse(new NoPermitInTime(0));
        continue;
      }
      queue.window.take();
      first.admit(nowMs - first.sinceMs);
    }
    // An expected wait may have grown, as after a refusal by the server.
    const inTime: WaitingCall[] = [];
    for (const call of queue.waiting.splice(0)) {
      const waitMs = queue.window.waitMs(nowMs, inTime.length);
      if (nowMs + waitMs < call.untilMs) inTime.push(call);
      else call.refuse(new NoPermitInTime(waitMs));
    }
    queue.waiting.push(...inTime);
    this.#setAlarm(queue, nowMs);
  }

  /**
   * Sets the alarm to the end of the window or of the first call's time; without waiting calls there is none.
   * @param nowMs when it was found that the calls must wait: a window that has ended since then is still to be waited for
   */
  #setAlarm(queue: RouteQueue, nowMs: number): void {
    queue.cancelAlarm();
    if (queue.waiting.length === 0) return;
    const expiryMs = Math.min(...queue.waiting.map(({ untilMs }) => untilMs)) - nowMs;
    const freeMs = queue.window.waitMs(nowMs, 0);
    const afterMs = Math.max(1, freeMs > 0 ? Math.min(freeMs, expiryMs) : expiryMs);
    queue.cancelAlarm = this.alarm(afterMs, () => this.#admitWaiting(queue));
  }
}

/**
 * Real servers hold two of their ten database connections for a write: from ten writes at once they stall for half a
 * minute, and store some of those whose connections they then reset. Two replicas of ours together stay below that.
 */
const MAX_WRITES_AT_ONCE = 4;

/** Bounds the writes that are being sent at once, first come, first served. */
export class WriteSlots {
  readonly #slots = new Semaphore(MAX_WRITES_AT_ONCE);

  constructor(private readonly time: MonotonicTime = new SystemMonotonicTime()) {}

  /**
   * Waits for a slot, of which no less than `minCallMs` of `maxWaitMs` is left then.
   * @throws late() where no slot is free in time, or the reason of the signal; then nothing is to be sent
   */
  async acquire({ maxWaitMs, minCallMs = 0, signal }: SlotWait, late: () => Error): Promise<WriteSlot> {
    const sinceMs = this.time.nowMs();
    const slot = this.#slots.acquire();
    try {
      const maxMs = maxWaitMs - minCallMs;
      const [, release] = await waitFor(slot, { maxMs, late, ...(signal !== undefined && { signal }) });
      return { leftMs: Math.max(1, maxWaitMs - (this.time.nowMs() - sinceMs)), release };
    } catch (error: unknown) {
      void slot.then(([, release]) => release());
      throw error;
    }
  }
}

/** The right to send one write. */
export interface WriteSlot {
  /** What is left of the time of the write. */
  readonly leftMs: number;
  readonly release: () => void;
}

interface SlotWait {
  readonly maxWaitMs: number;
  readonly minCallMs?: number;
  readonly signal?: AbortSignal;
}
