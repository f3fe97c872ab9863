import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../clock/clock';
import { remainingMs, type Deadline } from './deadline';
import type { FailureReason } from './failure-reason';
import { InfisicalCallFailed } from './infisical-call-failed';
import type { RetryBudget } from './retry-budget';

/** A request that was certainly not carried out may be sent again, whatever it was. */
const NOT_CARRIED_OUT: ReadonlySet<FailureReason> = new Set(['rateLimited', 'unreachable', 'proxyFailed']);
/** A request that changes nothing may also be sent again after these. */
const HARMLESS_TO_REPEAT: ReadonlySet<FailureReason> = new Set([
  ...NOT_CARRIED_OUT,
  'connectionLost',
  'gatewayFailure',
]);

export interface Circumstances {
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
