import type { MonotonicTime } from '../../../time/clock';

/** The rate limit of a route as an answer reports it; every field may be missing. */
export interface RateReport {
  readonly limit?: number;
  readonly remaining?: number;
  readonly resetMs?: number;
  /** Set for a refusal; `forMs` is how long to wait, where the server says so. */
  readonly refused?: { readonly forMs: number | undefined };
}

/** Calls back once, later; returns a function that cancels it. */
export type Alarm = (afterMs: number, ring: () => void) => () => void;

/** The rate limits have no permit for this call within its time. */
export class NoPermitInTime extends Error {
  constructor(readonly retryAfterMs: number) {
    super('The rate limits have no permit for this call in time.');
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
   * Waits for a permit, and returns how long: 0 where one is free. The call must then be sent, and settled.
   * @param route method and path template: there are few, so their queues are never removed
   * @throws NoPermitInTime at once where there would be no permit within `maxWaitMs`, or the reason of the signal
   */
  async acquire(route: string, maxWaitMs: number, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    const queue = this.#queueOf(route);
    const { window, waiting } = queue;
    const nowMs = this.clock.nowMs();
    if (waiting.length === 0 && window.isFree(nowMs)) {
      window.take();
      return 0;
    }
    const waitMs = window.waitMs(nowMs, waiting.length);
    if (waitMs >= maxWaitMs) throw new NoPermitInTime(waitMs);
    const leave = new AbortController();
    try {
      return await new Promise<number>((admit, refuse) => {
        const call = { sinceMs: nowMs, untilMs: nowMs + maxWaitMs, admit, refuse };
        signal?.addEventListener('abort', () => this.#leave(queue, call), { signal: leave.signal });
        waiting.push(call);
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

/** The length of the servers' windows, assumed until an answer says when this one ends. */
const WINDOW_MS = 60_000;
/** So many calls are in flight at most before the first answer tells the limit: fewer than any limit that was recorded. */
const FIRST_IN_FLIGHT = 8;
/** The servers round a reset up to whole seconds: only a reset that is further off begins another window. */
const ROUNDING_MS = 1_500;

/**
 * One route's fixed window as the server counts it. Calls are counted when they are sent, since the numbers in answers do not
 * include the calls that are still on their way.
 */
class RateLimitWindow {
  #limit: number | undefined;
  #left = FIRST_IN_FLIGHT;
  #endsAtMs = 0;
  #setAtMs = 0;
  #inFlight = 0;

  isFree(nowMs: number): boolean {
    return this.waitMs(nowMs, 0) === 0 && (this.#limit !== undefined || this.#inFlight < FIRST_IN_FLIGHT);
  }

  take(): void {
    this.#inFlight += 1;
    if (this.#limit !== undefined) this.#left -= 1;
  }

  /** Returns how long a call waits behind `before` others; 0 also while no limit is known. */
  waitMs(nowMs: number, before: number): number {
    this.#roll(nowMs);
    const untilEndMs = Math.max(0, this.#endsAtMs - nowMs);
    if (this.#limit === undefined) return untilEndMs;
    if (before < this.#left) return 0;
    const windowsAfter = Math.floor((before - Math.max(0, this.#left)) / Math.max(1, this.#limit));
    return untilEndMs + windowsAfter * WINDOW_MS;
  }

  /** Notes that a call has ended; without a report where it got no answer. */
  settle(report: RateReport | undefined, nowMs: number): void {
    this.#inFlight -= 1;
    if (report === undefined) return;
    this.#roll(nowMs);
    const { limit, remaining, resetMs, refused } = report;
    if (limit !== undefined && remaining !== undefined && resetMs !== undefined) {
      const endsAtMs = nowMs + resetMs;
      const unlimited = this.#limit === undefined || this.#limit === Infinity;
      const isNewWindow = unlimited || endsAtMs > this.#endsAtMs + ROUNDING_MS;
      this.#left = isNewWindow ? remaining - this.#inFlight : Math.min(this.#left, remaining);
      this.#limit = limit;
      this.#setEnd(endsAtMs, nowMs);
    } else if (this.#limit === undefined && refused === undefined) {
      // Newer servers have no limits; a limit that an answer reports later is learned then.
      this.#left = Infinity;
      this.#limit = Infinity;
      this.#setEnd(Infinity, nowMs);
    }
    if (refused === undefined) return;
    if (this.#limit === Infinity) this.#limit = undefined;
    this.#left = 0;
    this.#setEnd(nowMs + (refused.forMs ?? resetMs ?? WINDOW_MS), nowMs);
  }

  #setEnd(endsAtMs: number, nowMs: number): void {
    this.#endsAtMs = endsAtMs;
    this.#setAtMs = nowMs;
  }

  /** Begins a new window when this one has ended, or the clock was set back: no call waits for the same hour twice. */
  #roll(nowMs: number): void {
    if (nowMs < this.#endsAtMs && nowMs >= this.#setAtMs) return;
    if (this.#limit === undefined) return this.#setEnd(0, nowMs);
    if (this.#limit === Infinity) return this.#setEnd(Infinity, nowMs);
    this.#left = Math.max(1, this.#limit - this.#inFlight);
    this.#setEnd(nowMs + WINDOW_MS, nowMs);
  }
}
