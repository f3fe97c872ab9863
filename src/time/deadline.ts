import type { MonotonicTime } from './clock';

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
