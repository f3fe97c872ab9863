import type { Clock } from '../../clock/clock';

/** When an operation of the store must have ended: waiting in line, retries and bodies included. */
export interface Deadline {
  readonly endsAtMs: number;
}

export function deadlineIn(durationMs: number, clock: Clock): Deadline {
  return { endsAtMs: clock.nowMs() + durationMs };
}

export function remainingMs(deadline: Deadline, clock: Clock): number {
  return deadline.endsAtMs - clock.nowMs();
}

/** Leaves time for one more call after it. */
export function earlierBy(reserveMs: number, deadline: Deadline): Deadline {
  return { endsAtMs: deadline.endsAtMs - reserveMs };
}
