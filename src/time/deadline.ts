import type { MonotonicTime } from './clock';

/** Time that no clock on the wall can put forward or back. */
type Time = Pick<MonotonicTime, 'nowMs'>;

/** When an operation of the store must have ended: waiting in line, retries and bodies included. */
export interface Deadline {
  readonly endsAtMs: number;
}

export function deadlineIn(durationMs: number, time: Time): Deadline {
  return { endsAtMs: time.nowMs() + durationMs };
}

export function remainingMs(deadline: Deadline, time: Time): number {
  return deadline.endsAtMs - time.nowMs();
}

/** Leaves time for one more call after it. */
export function earlierBy(reserveMs: number, deadline: Deadline): Deadline {
  return { endsAtMs: deadline.endsAtMs - reserveMs };
}

/** What the work ends with, unless the time is up before: then it goes on unattended. */
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
