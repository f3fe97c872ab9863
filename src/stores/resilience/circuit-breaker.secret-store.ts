import { circuitBreaker, CircuitState, ConsecutiveBreaker, handleType } from 'cockatiel';
import type { MonotonicTime } from '../../time/clock';
import { ClientGone, InvalidRequest, TooManyRequests } from '../../errors/request-errors';
import { ScopeBusy, StoreOutcomeUnknown, StoreUnreachable } from '../../errors/store-errors';
import type { LogEvent } from '../../logging/log';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeContents,
  type ScopeSource,
  SecretStoreDecorator,
  type CompleteSecretStore,
} from '../../secrets/secret-store';
import type { Precondition, ScopeUsage, Secret, SecretScope, CallContext } from '../../secrets/secret';

export const BREAKER_STATES = ['closed', 'open', 'half_open'] as const;
/** Closed: calls pass. Open: they fail at once. Half open: one call passes, to find out whether the store is back. */
export type BreakerState = (typeof BREAKER_STATES)[number];

export interface QueueFigures {
  readonly waiting: number;
  readonly underWay: number;
}

/** Observes the queue and the circuit breaker in front of the store. */
export interface StoreLoadObserver {
  queueOpened(figures: () => QueueFigures): void;
  /** The queue was full, or a call got no permit in time. */
  permitRefused(): void;
  breakerOpened(state: () => BreakerState): void;
  breakerBecame(state: BreakerState): void;
}

export interface CircuitBreakerDeps {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly observer?: StoreLoadObserver | undefined;
}

const FAILURES_IN_A_ROW = 5;
const HALF_OPEN_AFTER_MS = 2_000;
/** A trial that takes longer counts as failed; its caller goes on waiting all the same. */
const TRIAL_TIMEOUT_MS = 5_000;

/** The time until a trial is counted here, by monotonic time, and not by the policy. */
const AT_ONCE = -Infinity;

const STATE_OF = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half_open',
  [CircuitState.Isolated]: 'open',
} as const satisfies Record<CircuitState, BreakerState>;

/** The store did not answer. */
class Unanswered extends Error {}
/** The outcome tells nothing about the store. */
class Inconclusive extends Error {}
/** The client hung up, so there is no outcome. */
class Cancelled extends Inconclusive {}

/**
 * A circuit breaker: after five calls in a row without an answer, calls fail at once for a moment instead of after a wait.
 * Then one call at a time tries whether the store is back.
 */
export class CircuitBreakerSecretStore extends SecretStoreDecorator implements ScopeSource {
  readonly #policy = circuitBreaker(handleType(Unanswered), {
    halfOpenAfter: AT_ONCE,
    breaker: new ConsecutiveBreaker(FAILURES_IN_A_ROW),
  });
  #noTrialBeforeMs = 0;
  /** How long the breaker is open before the next trial. */
  #openMs = HALF_OPEN_AFTER_MS;

  constructor(
    protected override readonly inner: CompleteSecretStore & ScopeSource,
    private readonly deps: CircuitBreakerDeps,
  ) {
    super(inner);
    deps.observer?.breakerOpened(() => STATE_OF[this.#policy.state]);
    this.#policy.onStateChange((state) => this.#became(STATE_OF[state]));
  }

  override async create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.create(scope, secret, context), isTrial);
  }

  override async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.retrieve(scope, name, context), isTrial);
  }

  override async update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.update(scope, secret, context, precondition), isTrial);
  }

  override async delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.delete(scope, name, context, precondition), isTrial);
  }

  override async list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.list(scope, context), isTrial);
  }

  async readScope(
    scope: SecretScope,
    name: string,
    ifRevision: string | undefined,
    context: CallContext,
  ): Promise<ScopeContents | 'unchanged'> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.readScope(scope, name, ifRevision, context), isTrial);
  }

  override async measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.measure(scope, context), isTrial);
  }

  override async sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.sizeOf(scope, name, context), isTrial);
  }

  override async workspacesOf(user: string, context: CallContext): Promise<readonly string[]> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.workspacesOf(user, context), isTrial);
  }

  override async removeWorkspace(id: string, context: CallContext): Promise<void> {
    const isTrial = this.#admit();
    return this.#judged(this.inner.removeWorkspace(id, context), isTrial);
  }

  /** Returns whether the call is a trial. @throws StoreUnreachable where none may be made now */
  #admit(): boolean {
    const { state } = this.#policy;
    const isTrial = state === CircuitState.Open;
    if (state === CircuitState.HalfOpen || (isTrial && this.deps.time.nowMs() < this.#noTrialBeforeMs))
      throw new StoreUnreachable();
    return isTrial;
  }

  /** Counts how the call ends, a trial before its caller hears of it: the caller's next call then finds the breaker closed. */
  #judged<T>(call: Promise<T>, isTrial: boolean): Promise<T> {
    const judged = this.#policy.execute(() => this.#judge(call, isTrial)).catch(() => undefined);
    return isTrial ? judged.then(() => call) : call;
  }

  /** @throws Unanswered where the call counts as a failure of the store, Inconclusive where it does not count */
  async #judge(answer: Promise<unknown>, isTrial: boolean): Promise<void> {
    const outcome = answer.then(() => undefined, failureIn);
    const failure = await (isTrial
      ? this.deps.time.within(TRIAL_TIMEOUT_MS, outcome, () => new Unanswered())
      : outcome);
    // What began before the breaker opened tells nothing about the trial.
    if (!isTrial && this.#policy.state !== CircuitState.Closed) throw new Inconclusive();
    if (failure === undefined) return;
    if (!isTrial) throw failure;
    // A trial that proves nothing counts as a failed one, so that the breaker stays open; after a cancelled one the next call is the trial.
    if (failure instanceof Cancelled) this.#openMs = 0;
    throw new Unanswered();
  }

  #became(state: BreakerState): void {
    const { time, log, observer } = this.deps;
    if (state === 'open') this.#noTrialBeforeMs = time.nowMs() + this.#openMs;
    this.#openMs = HALF_OPEN_AFTER_MS;
    if (state === 'open') log('warn', 'store_breaker_open');
    else log('info', `store_breaker_${state}`);
    observer?.breakerBecame(state);
  }
}

/** Returns undefined for an error that only a working store gives. */
function failureIn(error: unknown): Unanswered | Inconclusive | undefined {
  if (error instanceof StoreUnreachable || error instanceof StoreOutcomeUnknown) return new Unanswered();
  if (error instanceof ClientGone) return new Cancelled();
  const isInconclusive = [TooManyRequests, InvalidRequest, ScopeBusy].some((kind) => error instanceof kind);
  return isInconclusive ? new Inconclusive() : undefined;
}
