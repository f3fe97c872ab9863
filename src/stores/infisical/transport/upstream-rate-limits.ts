import { type MonotonicTime, SystemMonotonicTime } from '../../../time/clock';
import { RateLimitWindow, type RateReport } from './rate-limit-window';
import { Semaphore } from 'async-mutex';
import { withinMs } from '../../../time/deadline';

/** Calls back once, later; gives the way to call it off. */
export type Alarm = (afterMs: number, ring: () => void) => () => void;

/** There is no room for this call within its time. */
export class NoPermitInTime extends Error {
  constructor(readonly retryAfterMs: number) {
    super('The rate limit leaves no room in time.');
    this.name = 'NoTurnInTime';
  }
}

interface WaitingCall {
  readonly sinceMs: number;
  readonly untilMs: number;
  go(waitedMs: number): void;
  giveUp(error: NoPermitInTime): void;
}

interface Line {
  readonly window: RateLimitWindow;
  /** First come, first served. Who is fair to apps puts a line for each of them here and goes round. */
  readonly waiting: WaitingCall[];
  callOff: () => void;
}

const byTimeout: Alarm = (afterMs, ring) => {
  const timer = setTimeout(ring, afterMs);
  return () => clearTimeout(timer);
};

/** Keeps to the servers' limits ahead of them: a line for each route, each call in its turn or refused at once. */
export class UpstreamRateLimits {
  readonly #lines = new Map<string, Line>();

  constructor(
    private readonly clock: Pick<MonotonicTime, 'nowMs'>,
    private readonly alarm: Alarm = byTimeout,
  ) {}

  /**
   * @param route method and path template: there are few, so that lines are kept for ever
   * @returns how long it waited. The call must then be sent, and settled
   * @throws NoPermitInTime at once where the turn would not come within `maxWaitMs`
   */
  async turn(route: string, maxWaitMs: number): Promise<number> {
    const line = this.#line(route);
    const nowMs = this.clock.nowMs();
    if (line.waiting.length === 0 && line.window.isFree(nowMs)) {
      line.window.take();
      return 0;
    }
    const waitMs = line.window.waitMs(nowMs, line.waiting.length);
    if (waitMs >= maxWaitMs) throw new NoPermitInTime(waitMs);
    return new Promise((go, giveUp) => {
      line.waiting.push({ sinceMs: nowMs, untilMs: nowMs + maxWaitMs, go, giveUp });
      this.#watch(line, nowMs);
    });
  }

  /** After each call that had its turn. */
  settle(route: string, report: RateReport | undefined): void {
    const line = this.#line(route);
    line.window.settle(report, this.clock.nowMs());
    this.#serve(line);
  }

  /** How many calls wait, over all routes. */
  get waiting(): number {
    return [...this.#lines.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Nobody is kept waiting when the store closes. */
  close(): void {
    for (const line of this.#lines.values()) {
      line.callOff();
      for (const waiting of line.waiting.splice(0)) waiting.giveUp(new NoPermitInTime(0));
    }
  }

  #line(route: string): Line {
    const known = this.#lines.get(route);
    if (known !== undefined) return known;
    const line = { window: new RateLimitWindow(), waiting: [], callOff: () => undefined };
    this.#lines.set(route, line);
    return line;
  }

  #serve(line: Line): void {
    const nowMs = this.clock.nowMs();
    while (line.waiting.length > 0 && line.window.isFree(nowMs)) {
      const first = line.waiting.shift();
      if (first === undefined) break;
      // Sent with no time left, it would be cut at once and leave a write in doubt.
      if (nowMs >= first.untilMs) {
        first.giveUp(new NoPermitInTime(0));
        continue;
      }
      line.window.take();
      first.go(nowMs - first.sinceMs);
    }
    // What was promised may not hold any more, as after a refusal.
    const inTime: WaitingCall[] = [];
    for (const waiting of line.waiting.splice(0)) {
      const waitMs = line.window.waitMs(nowMs, inTime.length);
      if (nowMs + waitMs < waiting.untilMs) inTime.push(waiting);
      else waiting.giveUp(new NoPermitInTime(waitMs));
    }
    line.waiting.push(...inTime);
    this.#watch(line, nowMs);
  }

  /**
   * Wakes up when the window ends or a patience does; what nobody waits for needs no timer.
   * @param nowMs of whoever found that the calls must wait: a window that has ended since then is still to be waited for
   */
  #watch(line: Line, nowMs: number): void {
    line.callOff();
    if (line.waiting.length === 0) return;
    const nextMs = Math.min(...line.waiting.map(({ untilMs }) => untilMs)) - nowMs;
    const freeMs = line.window.waitMs(nowMs, 0);
    line.callOff = this.alarm(Math.max(1, freeMs > 0 ? Math.min(freeMs, nextMs) : nextMs), () =>
      this.#serve(line),
    );
  }
}

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
   * @param send is given what is left of `maxWaitMs`, which is no less than `shortestMs`
   * @throws late, where no slot is free in time; then nothing is sent
   */
  async run<T>(
    { maxWaitMs, shortestMs }: { readonly maxWaitMs: number; readonly shortestMs: number },
    send: (leftMs: number) => Promise<T>,
    late: () => Error,
  ): Promise<T> {
    const sinceMs = this.time.nowMs();
    const slot = this.#slots.acquire();
    try {
      await withinMs(maxWaitMs - shortestMs, slot, late);
    } catch (error: unknown) {
      void slot.then(([, release]) => release());
      throw error;
    }
    const [, release] = await slot;
    try {
      return await send(Math.max(1, maxWaitMs - (this.time.nowMs() - sinceMs)));
    } finally {
      release();
    }
  }
}
