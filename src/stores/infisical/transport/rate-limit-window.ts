/** The rate limit of a route as an answer reports it; every field may be missing. */
export interface RateReport {
  readonly limit?: number;
  readonly remaining?: number;
  readonly resetMs?: number;
  /** Set for a refusal; `forMs` is how long to wait, where the server says so. */
  readonly refused?: { readonly forMs: number | undefined };
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
export class RateLimitWindow {
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

/** The servers' windows last a minute: a longer wait is a mistake, or not Infisical's, and is cut to this. */
const MAX_WAIT_S = 300;

type Headers = Readonly<Record<string, unknown>>;

/** Returns the time to wait, which the servers give in whole seconds. Where a proxy drops the header, the reset of the window says the same. */
export function retryAfterOf(headers: Headers): number | undefined {
  return secondsToMs(headers['retry-after'] ?? headers['x-ratelimit-reset']);
}

/** Returns undefined for an answer that reports nothing, as one that was refused before the limit was checked. */
export function rateReportOf(
  headers: Headers,
  answer: { readonly status: number; readonly retryAfterMs?: number },
): RateReport | undefined {
  const limit = wholeNumber(headers['x-ratelimit-limit']);
  const remaining = wholeNumber(headers['x-ratelimit-remaining']);
  const resetMs = secondsToMs(headers['x-ratelimit-reset']);
  const refused = answer.status === 429 && { refused: { forMs: answer.retryAfterMs } };
  if (limit !== undefined && remaining !== undefined && resetMs !== undefined)
    return { limit, remaining, resetMs, ...refused };
  if (refused !== false) return refused;
  return answer.status < 300 ? {} : undefined;
}

function secondsToMs(header: unknown): number | undefined {
  const seconds = wholeNumber(header);
  return seconds === undefined ? undefined : Math.min(seconds, MAX_WAIT_S) * 1000;
}

function wholeNumber(header: unknown): number | undefined {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) : undefined;
}
