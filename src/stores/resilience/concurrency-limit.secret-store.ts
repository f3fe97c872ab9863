import { TooManyRequests } from '../../errors/request-errors';
import { SecretAlreadyExists } from '../../errors/store-errors';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import type { CallContext } from '../../secrets/call-context';
import { scopeKeyOf, type SecretScope, type Secret } from '../../secrets/secret';
import type { ScopeSource, StoreAdapter } from '../../secrets/secret-store';
import { SecretStoreInterceptor } from './secret-store-interceptor';
import type { MonotonicTime } from '../../time/clock';
import { remainingMs, waitFor } from '../../time/deadline';
import {
  CircuitBreakerSecretStore,
  type CircuitBreakerDeps,
  type StoreLoadObserver,
} from './circuit-breaker.secret-store';

/** How many calls a server like Infisical carries out at once without getting slower, and how many of them one workspace may have. */
export const QUEUE_BOUNDS = {
  maxRunning: 16,
  maxRunningPerKey: 4,
  maxWaiting: 1_000,
  maxWaitingPerKey: 100,
  refusesByPace: true,
} as const satisfies Omit<FairQueueBounds, 'maxWaitMs'>;

const MAX_RETRY_AFTER_S = 60;
/** The key of calls that concern all workspaces, which run in the background. */
const NO_WORKSPACE = '';

export interface ConcurrencyBounds extends FairQueueBounds {
  /** The part of a call's time that it must have left when it gets its permit. */
  readonly reserveMs: number;
}

/** Limits the calls that the store gets at once; waiting calls get permits in fair order of their workspaces. */
export class ConcurrencyLimitSecretStore extends SecretStoreInterceptor {
  readonly #queue: FairQueue;
  readonly #creates: SharedCreates;

  constructor(
    inner: StoreAdapter & ScopeSource,
    private readonly bounds: ConcurrencyBounds,
    private readonly time: MonotonicTime,
    observer: StoreLoadObserver | undefined,
  ) {
    super(inner);
    this.#creates = new SharedCreates(bounds.maxWaitingPerKey);
    this.#queue = new FairQueue(bounds, time, (waitMs) => {
      observer?.permitRefused();
      return new TooManyRequests(Math.min(MAX_RETRY_AFTER_S, Math.max(1, Math.ceil(waitMs / 1000))));
    });
    observer?.queueOpened(() => ({ waiting: this.#queue.waiting, underWay: this.#queue.running }));
  }

  /** Of several creates of one name, one at a time is in the queue; the others wait for its outcome. */
  override create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    return this.#creates.run(scope, secret.name, context.signal, () => super.create(scope, secret, context));
  }

  /** @throws TooManyRequests without a call to the store, or the reason of the signal */
  protected intercept<T>(
    call: () => Promise<T>,
    { deadline, signal }: CallContext,
    scope?: SecretScope,
  ): Promise<T> {
    const key = scope === undefined ? NO_WORKSPACE : JSON.stringify([scope.user, scope.workspace]);
    const maxWaitMs = remainingMs(deadline, this.time) - this.bounds.reserveMs;
    return this.#queue.run(key, call, { maxWaitMs, signal });
  }
}

/** Sends creates of one name in one scope one at a time. */
class SharedCreates {
  readonly #underWay = new Map<string, Promise<boolean>>();
  /** The number of waiting creates by scope. */
  readonly #waiting = new Map<string, number>();

  /** @param maxWaitingPerKey how many creates may wait in one scope for the outcome of others */
  constructor(private readonly maxWaitingPerKey: number) {}

  /**
   * Waits for the outcome of another create of the same name: where that stored the secret, this one fails, otherwise it is sent.
   * @throws SecretAlreadyExists, TooManyRequests, the reason of the signal
   */
  async run(
    scope: SecretScope,
    name: string,
    signal: AbortSignal,
    create: () => Promise<void>,
  ): Promise<void> {
    const [scopeKey, key] = [scopeKeyOf(scope), JSON.stringify([scopeKeyOf(scope), name])];
    for (;;) {
      const underWay = this.#underWay.get(key);
      if (underWay === undefined) break;
      if (await this.#outcomeOf(scopeKey, underWay, signal)) throw new SecretAlreadyExists(name);
    }
    const created = create();
    const exists = created.then(
      () => true,
      (error: unknown) => error instanceof SecretAlreadyExists,
    );
    const ended = exists.finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, ended);
    // The creates that wait for this one go on before it returns.
    await ended;
    await created;
  }

  async #outcomeOf(scopeKey: string, underWay: Promise<boolean>, signal: AbortSignal): Promise<boolean> {
    const waiting = this.#waiting.get(scopeKey) ?? 0;
    if (waiting >= this.maxWaitingPerKey) throw new TooManyRequests(1);
    this.#waiting.set(scopeKey, waiting + 1);
    try {
      return await waitFor(underWay, { signal });
    } finally {
      const left = (this.#waiting.get(scopeKey) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(scopeKey);
      else this.#waiting.set(scopeKey, left);
    }
  }
}

/** The share of an operation's time that it may wait in the queue; the rest is for its own calls. */
const WAIT_SHARE = 3 / 4;

/**
 * Puts a remote store behind a queue and a circuit breaker.
 * @param timeoutMs the time of one operation, its wait in the queue included
 */
export function resilientStore(
  store: StoreAdapter & ScopeSource,
  timeoutMs: number,
  deps: CircuitBreakerDeps,
): StoreAdapter & ScopeSource {
  const maxWaitMs = timeoutMs * WAIT_SHARE;
  const bounds = { ...QUEUE_BOUNDS, maxWaitMs, reserveMs: timeoutMs - maxWaitMs };
  const limited = new ConcurrencyLimitSecretStore(store, bounds, deps.time, deps.observer);
  return new CircuitBreakerSecretStore(limited, deps);
}
