import type { Clock } from '../../../time/clock';
import { setTimeout as pause } from 'node:timers/promises';
import { remainingMs, type Deadline } from '../../../time/deadline';
import type { FailureReason } from '../versions/failure-reason';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';

const EARNED_BY_A_CALL = 0.1;
const EARNED_EACH_MS = 1 / 5_000;
const MOST = 10;

/**
 * What the whole process may send a second time: a tenth of its calls, and one each 5 s for a quiet one. A server
 * that fails everything is not asked everything three times.
 */
export class RetryBudget {
  #saved = MOST;
  #countedAtMs: number;

  constructor(private readonly clock: Clock) {
    this.#countedAtMs = clock.nowMs();
  }

  earn(): void {
    const nowMs = this.clock.nowMs();
    const earned = EARNED_BY_A_CALL + Math.max(0, nowMs - this.#countedAtMs) * EARNED_EACH_MS;
    this.#countedAtMs = nowMs;
    this.#saved = Math.min(MOST, this.#saved + earned);
  }

  /** Whether one more may be sent; it is taken when it may. */
  spend(): boolean {
    if (this.#saved < 1) return false;
    this.#saved -= 1;
    return true;
  }
}

/** A request that was certainly not carried out may be sent again, whatever it was. */
const NOT_CARRIED_OUT: ReadonlySet<FailureReason> = new Set(['rateLimited', 'unreachable', 'proxyFailed']);
/** A request that changes nothing may also be sent again after these. */
const HARMLESS_TO_REPEAT: ReadonlySet<FailureReason> = new Set([
  ...NOT_CARRIED_OUT,
  'connectionLost',
  'gatewayFailure',
]);

interface Circumstances {
  readonly changesNothing: boolean;
  readonly deadline: Deadline;
  readonly clock: Clock;
  readonly budget: RetryBudget;
  /** What must be left for the next attempt. */
  readonly shortestCallMs: number;
}

const MAX_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Sends again where that is safe and there is time for it, with full jitter; a server that says when to come back
 * is taken at its word, or the failure stands. The
 * process as a whole repeats little.
 */
export async function retrying<T>(circumstances: Circumstances, send: () => Promise<T>): Promise<T> {
  const { changesNothing, deadline, clock, budget, shortestCallMs } = circumstances;
  budget.earn();
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      const beforeIt = error.call === 'login' || error.call === 'probe';
      const repeatable = changesNothing || beforeIt ? HARMLESS_TO_REPEAT : NOT_CARRIED_OUT;
      if (!repeatable.has(error.reason)) throw error;
      const pauseMs = error.retryAfterMs ?? jittered(attempt);
      if (attempt === MAX_ATTEMPTS || pauseMs + shortestCallMs >= remainingMs(deadline, clock)) throw error;
      if (!budget.spend()) throw error;
      await pause(pauseMs);
    }
  }
}

function jittered(attempt: number): number {
  return Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
}
