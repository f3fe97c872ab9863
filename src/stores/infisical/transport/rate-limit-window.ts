/** What an answer tells of its route's limit; all of it may be missing. */
export interface RateReport {
  readonly limit?: number;
  readonly remaining?: number;
  readonly resetMs?: number;
  /** Set for a refusal: how long to stay away, where the server says so. */
  readonly refused?: { readonly forMs: number | undefined };
}

/** The length of the servers' windows, until an answer says when this one ends. */
const WINDOW_MS = 60_000;
/** So many are sent at once before the first answer tells whether there is a limit: less than any that was recorded. */
const FIRST_IN_FLIGHT = 8;
/** The servers round a reset up to whole seconds: only what lies further off is another window. */
const ROUNDING_MS = 1_500;

/**
 * One route's fixed window as the server counts it, from what its answers tell: they are behind by what is on its way,
 * so that calls are counted when they are sent.
 */
export class RateLimitWindow {
  #limit: number | undefined;
  #left = FIRST_IN_FLIGHT;
  #endsAtMs = 0;
  #learnedAtMs = 0;
  #inFlight = 0;

  isFree(nowMs: number): boolean {
    return this.waitMs(nowMs, 0) === 0 && (this.#limit !== undefined || this.#inFlight < FIRST_IN_FLIGHT);
  }

  take(): void {
    this.#inFlight += 1;
    if (this.#limit !== undefined) this.#left -= 1;
  }

  /** How long a call waits that has so many others before it; 0 also while nothing is known. */
  waitMs(nowMs: number, before: number): number {
    this.#roll(nowMs);
    const untilEndMs = Math.max(0, this.#endsAtMs - nowMs);
    if (this.#limit === undefined) return untilEndMs;
    if (before < this.#left) return 0;
    const windowsAfter = Math.floor((before - Math.max(0, this.#left)) / Math.max(1, this.#limit));
    return untilEndMs + windowsAfter * WINDOW_MS;
  }

  /** A call has ended; without a report where no answer came. */
  settle(report: RateReport | undefined, nowMs: number): void {
    this.#inFlight -= 1;
    if (report === undefined) return;
    this.#roll(nowMs);
    const { limit, remaining, resetMs, refused } = report;
    if (limit !== undefined && remaining !== undefined && resetMs !== undefined) {
      const endsAtMs = nowMs + resetMs;
      const unlimited = this.#limit === undefined || this.#limit === Infinity;
      const another = unlimited || endsAtMs > this.#endsAtMs + ROUNDING_MS;
      this.#left = another ? remaining - this.#inFlight : Math.min(this.#left, remaining);
      this.#limit = limit;
      this.#keep(endsAtMs, nowMs);
    } else if (this.#limit === undefined && refused === undefined) {
      // Newer servers have no limits; one that shows up later is learned then.
      this.#left = Infinity;
      this.#limit = Infinity;
      this.#keep(Infinity, nowMs);
    }
    if (refused !== undefined) this.#close(nowMs + (refused.forMs ?? resetMs ?? WINDOW_MS), nowMs);
  }

  #close(untilMs: number, nowMs: number): void {
    if (this.#limit === Infinity) this.#limit = undefined;
    this.#left = 0;
    this.#keep(untilMs, nowMs);
  }

  #keep(endsAtMs: number, nowMs: number): void {
    this.#endsAtMs = endsAtMs;
    this.#learnedAtMs = nowMs;
  }

  /** Also when the clock was set back: nobody waits for an hour that comes twice. */
  #roll(nowMs: number): void {
    if (nowMs < this.#endsAtMs && nowMs >= this.#learnedAtMs) return;
    if (this.#limit === undefined) return this.#keep(0, nowMs);
    if (this.#limit === Infinity) return this.#keep(Infinity, nowMs);
    this.#left = Math.max(1, this.#limit - this.#inFlight);
    this.#keep(nowMs + WINDOW_MS, nowMs);
  }
}

/** The servers' windows last a minute. Who says a year is no Infisical, or is mistaken, and is asked again. */
const LONGEST_WAIT_S = 300;

type Headers = Readonly<Record<string, unknown>>;

/** The servers say it in whole seconds; the reset of the window says the same where a proxy drops the header. */
export function retryAfterOf(headers: Headers): number | undefined {
  return secondsToMs(headers['retry-after'] ?? headers['x-ratelimit-reset']);
}

/** Undefined for an answer that tells nothing, as one that was refused before the limit was looked at. */
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
  return seconds === undefined ? undefined : Math.min(seconds, LONGEST_WAIT_S) * 1000;
}

function wholeNumber(header: unknown): number | undefined {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) : undefined;
}
