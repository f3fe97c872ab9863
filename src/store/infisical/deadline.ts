import type { MonotonicTime } from '../../clock/monotonic-time';

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
