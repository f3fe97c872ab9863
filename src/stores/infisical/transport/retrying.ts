import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../../time/clock';
import type { CallContext } from '../../../secrets/call-context';
import { remainingMs } from '../../../time/deadline';
import type { FailureReason } from '../versions/failure-reason';
import type { InfisicalCallFailed } from '../versions/infisical-call-failed';

const TOKENS_PER_CALL = 0.1;
const TOKENS_PER_MS = 1 / 5_000;
const MAX_TOKENS = 10;

/**
 * Bounds the retries of the whole process to a tenth of its calls, and at least one each 5 s, so that a server that fails
 * everything is not asked everything three times.
 */
export class RetryBudget {
  #tokens = MAX_TOKENS;
  #countedAtMs: number;

  constructor(private readonly clock: Clock) {
    this.#countedAtMs = clock.nowMs();
  }

  earn(): void {
    const nowMs = this.clock.nowMs();
    const earned = TOKENS_PER_CALL + Math.max(0, nowMs - this.#countedAtMs) * TOKENS_PER_MS;
    this.#countedAtMs = nowMs;
    this.#tokens = Math.min(MAX_TOKENS, this.#tokens + earned);
  }

  /** Takes a token for one retry. Returns false where there is none. */
  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** Any request may be repeated after these, as it was certainly not carried out. */
const NOT_CARRIED_OUT: ReadonlySet<FailureReason> = new Set(['rateLimited', 'unreachable', 'proxyFailed']);
/** A request that changes nothing may be repeated after these. */
const HARMLESS_TO_REPEAT: ReadonlySet<FailureReason> = new Set([
  ...NOT_CARRIED_OUT,
  'connectionLost',
  'gatewayFailure',
]);

interface RetryOptions {
  readonly changesNothing: boolean;
  readonly context: CallContext;
  readonly clock: Clock;
  readonly budget: RetryBudget;
  /** The time that must be left for the next attempt. */
  readonly minCallMs: number;
}

const MAX_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/** The attempts of one call: it is repeated where that is safe and there is time for it. */
export class Attempts {
  #made = 1;

  constructor(private readonly options: RetryOptions) {
    options.budget.earn();
  }

  /**
   * Pauses before the next attempt, with full jitter, or as long as the server's Retry-After says. Returns false at once where there
   * must be none after this failure. @throws the reason of the signal
   */
  async isToRepeatAfter(failure: InfisicalCallFailed): Promise<boolean> {
    const { changesNothing, context, clock, budget, minCallMs } = this.options;
    const isPreliminary = failure.call === 'login' || failure.call === 'probe';
    const repeatable = changesNothing || isPreliminary ? HARMLESS_TO_REPEAT : NOT_CARRIED_OUT;
    if (!repeatable.has(failure.reason)) return false;
    const maxPauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#made);
    const pauseMs = failure.retryAfterMs ?? Math.random() * maxPauseMs;
    if (this.#made === MAX_ATTEMPTS || pauseMs + minCallMs >= remainingMs(context.deadline, clock))
      return false;
    if (!budget.spend()) return false;
    this.#made += 1;
    await pause(pauseMs, undefined, context).catch(() => context.signal.throwIfAborted());
    return true;
  }
}
