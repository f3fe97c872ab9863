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

/** Settles as the work does, or rejects with `timedOut()` once the time is up; the work then goes on unattended. */
export async function withinMs<T>(timeMs: number, work: Promise<T>, timedOut: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(timedOut()), Math.max(0, timeMs));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
