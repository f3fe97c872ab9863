/**
 * The time of day by which the service decides, so that tests can set it. The records of the audit trail, the client, the command line and
 * what makes credentials on a laptop ask the machine themselves.
 */
export abstract class Clock {
  /** Milliseconds since the epoch. */
  abstract nowMs(): number;
}

export class SystemClock extends Clock {
  nowMs(): number {
    return Date.now();
  }
}

/**
 * Time for durations and waits: it only goes forward, whatever happens to the wall clock, and a test can let an hour pass at once. Sockets, turns
 * of the event loop and figures ask performance.now() and setTimeout() themselves: their tests measure real time.
 */
export abstract class MonotonicTime {
  /** Milliseconds since an arbitrary moment; only differences mean anything. */
  abstract nowMs(): number;
  /** Runs `run` once, `ms` from now, unless the returned function cancels it. It keeps no process alive. */
  abstract after(ms: number, run: () => void): () => void;

  /** Resolves after `ms`, or as soon as the signal aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const cancel = this.after(ms, done);
      signal.addEventListener('abort', done, { once: true });
      function done(): void {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      }
    });
  }

  /** Settles as the work does, or as `late` after `ms`; the work then goes on unattended. */
  async within<T, L>(ms: number, work: Promise<T>, late: () => L): Promise<T | L> {
    let cancel = (): void => undefined;
    const timeOut = new Promise<() => L>((resolve) => (cancel = this.after(ms, () => resolve(late))));
    try {
      const end = await Promise.race([work.then((value) => () => value), timeOut]);
      return end();
    } finally {
      cancel();
    }
  }
}

export class SystemMonotonicTime extends MonotonicTime {
  nowMs(): number {
    return performance.now();
  }

  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  }
}

type Time = Pick<MonotonicTime, 'nowMs'>;

/** When an operation of the store must have ended, with its waits, retries and bodies; in monotonic time. */
export interface Deadline {
  readonly endsAtMs: number;
}

export function deadlineIn(durationMs: number, time: Time): Deadline {
  return { endsAtMs: time.nowMs() + durationMs };
}

export function remainingMs(deadline: Deadline, time: Time): number {
  return deadline.endsAtMs - time.nowMs();
}

/** Returns an earlier deadline, which leaves time for another call after it. */
export function earlierBy(reserveMs: number, deadline: Deadline): Deadline {
  return { endsAtMs: deadline.endsAtMs - reserveMs };
}

/** How long somebody waits. */
export interface Wait {
  /** As long as it takes, where it is missing. */
  readonly maxMs?: number;
  /** Makes the error after that time. */
  readonly late?: () => Error;
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal;
  /** Never read: it keeps out the context of a call, whose deadline is a moment and has to be made `maxMs`. */
  readonly deadline?: never;
}

/** Settles as the work does, unless the wait ends before; the work then goes on unattended. */
export async function waitFor<T>(work: Promise<T>, { maxMs = Infinity, late, signal }: Wait): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let end: () => void = () => undefined;
  const over = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined);
    if (maxMs < Infinity) timer = setTimeout(end, Math.max(0, maxMs));
    if (signal?.aborted === true) end();
    else signal?.addEventListener('abort', end);
  });
  try {
    const done = await Promise.race([work.then((value) => ({ value })), over]);
    if (done !== undefined) return done.value;
    signal?.throwIfAborted();
    throw late?.() ?? new Error('The time is up.');
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

interface BackOffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Returns 0 up to 1, as Math.random() does. */
  readonly random: () => number;
}

/** No wait is shorter, so that what fails at once is not retried in a tight loop. */
const MIN_MS = 50;

/** Exponential back-off with full jitter: replicas that lost the same server do not come back at the same moment. */
export class BackOff {
  private failures = 0;

  constructor(private readonly options: BackOffOptions) {}

  /** Counts a failure and returns the wait before the next attempt. @param maxMs a shorter maximum for this failure */
  nextMs(atLeastMs = MIN_MS, maxMs = this.options.maxMs): number {
    const { firstMs, random } = this.options;
    const ceilingMs = Math.min(maxMs, firstMs * 2 ** Math.min(this.failures, 30));
    this.failures += 1;
    return Math.max(MIN_MS, atLeastMs, random() * ceilingMs);
  }

  reset(): void {
    this.failures = 0;
  }
}
