import { TooManyRequests } from '../../errors/request-errors';
import { SecretAlreadyExists } from '../../errors/store-errors';
import { FairQueue, type FairQueueBounds, type ReleasePermit } from '../../concurrency/fair-queue';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeContents,
  type ScopeSource,
  SecretStoreDecorator,
  type CompleteSecretStore,
} from '../../secrets/secret-store';
import {
  type Precondition,
  scopeKeyOf,
  type SecretScope,
  type Secret,
  type ScopeUsage,
  type CallContext,
} from '../../secrets/secret';
import { type MonotonicTime, remainingMs, type Wait, waitFor } from '../../time/clock';
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
export class ConcurrencyLimitSecretStore extends SecretStoreDecorator implements ScopeSource {
  readonly #queue: FairQueue;
  readonly #creates: SharedCreates;

  constructor(
    protected override readonly inner: CompleteSecretStore & ScopeSource,
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
    return this.#creates.run(scope, secret.name, this.#waitOf(context), async () => {
      const key = keyOf(scope);
      const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
      return this.inner.create(scope, secret, context).finally(release);
    });
  }

  override async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    const key = keyOf(scope);
    const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
    return this.inner.retrieve(scope, name, context).finally(release);
  }

  override async update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const key = keyOf(scope);
    const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
    return this.inner.update(scope, secret, context, precondition).finally(release);
  }

  override async delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const key = keyOf(scope);
    const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
    return this.inner.delete(scope, name, context, precondition).finally(release);
  }

  override async list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    const key = keyOf(scope);
    const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
    return this.inner.list(scope, context).finally(release);
  }

  async readScope(
    scope: SecretScope,
    name: string,
    ifRevision: string | undefined,
    context: CallContext,
  ): Promise<ScopeContents | 'unchanged'> {
    const key = keyOf(scope);
    const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
    return this.inner.readScope(scope, name, ifRevision, context).finally(release);
  }

  override async measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage> {
    const key = keyOf(scope);
    const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
    return this.inner.measure(scope, context).finally(release);
  }

  override async sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    const key = keyOf(scope);
    const release = this.#queue.tryAcquire(key) ?? (await this.#permit(key, context));
    return this.inner.sizeOf(scope, name, context).finally(release);
  }

  override async workspacesOf(user: string, context: CallContext): Promise<readonly string[]> {
    const release = this.#queue.tryAcquire(NO_WORKSPACE) ?? (await this.#permit(NO_WORKSPACE, context));
    return this.inner.workspacesOf(user, context).finally(release);
  }

  override async removeWorkspace(id: string, context: CallContext): Promise<void> {
    const release = this.#queue.tryAcquire(NO_WORKSPACE) ?? (await this.#permit(NO_WORKSPACE, context));
    return this.inner.removeWorkspace(id, context).finally(release);
  }

  /** @throws TooManyRequests without a call to the store, or the reason of the signal */
  #permit(key: string, { deadline, signal }: CallContext): Promise<ReleasePermit> {
    return this.#queue.acquire(key, { maxWaitMs: this.#maxWaitMs(deadline), signal });
  }

  /** Returns how a create waits for another one of its name: no longer than for a permit. */
  #waitOf({ deadline, signal }: CallContext): () => Wait {
    return () => ({ maxMs: this.#maxWaitMs(deadline), late: () => new TooManyRequests(1), signal });
  }

  #maxWaitMs(deadline: CallContext['deadline']): number {
    return remainingMs(deadline, this.time) - this.bounds.reserveMs;
  }
}

function keyOf({ user, workspace }: SecretScope): string {
  return JSON.stringify([user, workspace]);
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
   * @param wait how long it may wait from now on
   * @throws SecretAlreadyExists, TooManyRequests, the reason of the signal
   */
  async run(scope: SecretScope, name: string, wait: () => Wait, create: () => Promise<void>): Promise<void> {
    const [scopeKey, key] = [scopeKeyOf(scope), JSON.stringify([scopeKeyOf(scope), name])];
    for (;;) {
      const underWay = this.#underWay.get(key);
      if (underWay === undefined) break;
      if (await this.#outcomeOf(scopeKey, underWay, wait())) throw new SecretAlreadyExists(name);
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

  async #outcomeOf(scopeKey: string, underWay: Promise<boolean>, wait: Wait): Promise<boolean> {
    const waiting = this.#waiting.get(scopeKey) ?? 0;
    if (waiting >= this.maxWaitingPerKey) throw new TooManyRequests(1);
    this.#waiting.set(scopeKey, waiting + 1);
    try {
      return await waitFor(underWay, wait);
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
  store: CompleteSecretStore & ScopeSource,
  timeoutMs: number,
  deps: CircuitBreakerDeps,
): CompleteSecretStore & ScopeSource {
  const maxWaitMs = timeoutMs * WAIT_SHARE;
  const bounds = { ...QUEUE_BOUNDS, maxWaitMs, reserveMs: timeoutMs - maxWaitMs };
  const limited = new ConcurrencyLimitSecretStore(store, bounds, deps.time, deps.observer);
  return new CircuitBreakerSecretStore(limited, deps);
}
