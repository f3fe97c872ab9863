import { circuitBreaker, CircuitState, ConsecutiveBreaker, handleType } from 'cockatiel';
import type { MonotonicTime } from '../../time/clock';
import { InvalidRequest, TooManyRequests } from '../../errors/request-errors';
import { StoreOutcomeUnknown, StoreUnreachable } from '../../errors/store-errors';
import type { LogEvent } from '../../logging/log';
import type { SecretStore } from '../../secrets/secret-store';
import { SecretStoreDecorator, type StoreCall } from '../../secrets/secret-store-decorator';

export const BREAKER_STATES = ['closed', 'open', 'half_open'] as const;
/** Closed: calls pass. Open: they fail at once. Half open: one passes, to see whether the store is back. */
export type BreakerState = (typeof BREAKER_STATES)[number];

export interface QueueFigures {
  readonly waiting: number;
  readonly underWay: number;
}

/** Whoever wants to know how calls get through to the store. */
export interface StoreLoadObserver {
  queueOpened(figures: () => QueueFigures): void;
  /** A call found no place in the line, or no turn in time. */
  permitRefused(): void;
  breakerOpened(state: () => BreakerState): void;
  breakerBecame(state: BreakerState): void;
}

export interface CircuitBreakerDeps {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  readonly observer?: StoreLoadObserver;
}

const FAILURES_IN_A_ROW = 5;
const HALF_OPEN_AFTER_MS = 2_000;
/** A trial that takes longer is one that failed; whoever asked for it waits on all the same. */
const TRIAL_PATIENCE_MS = 5_000;

/** When it may be tried again is counted here, by a time that no clock on the wall can put back. */
const AT_ONCE = -Infinity;

const STATE_OF = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half_open',
  [CircuitState.Isolated]: 'open',
} as const satisfies Record<CircuitState, BreakerState>;

/** The store did not answer. */
class Gone extends Error {}
/** Nothing can be learnt of the store from this. */
class Unjudged extends Error {}

/**
 * A circuit breaker: a store that did not answer five times in a row is not asked for a moment, so that callers learn at
 * once what they would have waited for. Then one call at a time tries whether it is back.
 */
export class CircuitBreakerSecretStore extends SecretStoreDecorator {
  readonly #policy = circuitBreaker(handleType(Gone), {
    halfOpenAfter: AT_ONCE,
    breaker: new ConsecutiveBreaker(FAILURES_IN_A_ROW),
  });
  #noTrialBeforeMs = 0;

  constructor(
    inner: SecretStore,
    private readonly deps: CircuitBreakerDeps,
  ) {
    super(inner);
    deps.observer?.breakerOpened(() => STATE_OF[this.#policy.state]);
    this.#policy.onStateChange((state) => this.#became(STATE_OF[state]));
  }

  /** @throws StoreUnreachable at once, and the store was not asked */
  protected async around<T>(_call: StoreCall, pass: () => Promise<T>): Promise<T> {
    const { state } = this.#policy;
    const isTrial = state === CircuitState.Open;
    if (state === CircuitState.HalfOpen || (isTrial && this.deps.time.nowMs() < this.#noTrialBeforeMs))
      throw new StoreUnreachable();
    const answer = pass();
    this.#policy.execute(() => this.#judged(answer, isTrial)).catch(() => undefined);
    return answer;
  }

  async #judged(answer: Promise<unknown>, isTrial: boolean): Promise<void> {
    const outcome = answer.then(
      () => undefined,
      (error: unknown) => evidenceIn(error),
    );
    const evidence = isTrial ? await this.#soon(outcome) : await outcome;
    // What tells nothing is no reason to let everybody in again.
    if (isTrial && evidence !== undefined) throw new Gone();
    if (evidence !== undefined) throw evidence;
  }

  async #soon(outcome: Promise<Gone | Unjudged | undefined>): Promise<Gone | Unjudged | undefined> {
    let callOff = (): void => undefined;
    const late = new Promise<Gone>((resolve) => {
      callOff = this.deps.time.after(TRIAL_PATIENCE_MS, () => resolve(new Gone()));
    });
    const evidence = await Promise.race([outcome, late]);
    callOff();
    return evidence;
  }

  #became(state: BreakerState): void {
    const { time, log, observer } = this.deps;
    if (state === 'open') this.#noTrialBeforeMs = time.nowMs() + HALF_OPEN_AFTER_MS;
    if (state === 'open') log('warn', 'store_breaker_open');
    else log('info', `store_breaker_${state}`);
    observer?.breakerBecame(state);
  }
}

/** Undefined for whatever only a store that works can say. */
function evidenceIn(error: unknown): Gone | Unjudged | undefined {
  if (error instanceof StoreUnreachable || error instanceof StoreOutcomeUnknown) return new Gone();
  return error instanceof TooManyRequests || error instanceof InvalidRequest ? new Unjudged() : undefined;
}
