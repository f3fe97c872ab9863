import { TooManyRequests } from '../../errors/request-errors';
import { SecretAlreadyExists } from '../../errors/store-errors';
import { scopeKeyOf, type SecretScope, type Secret } from '../../secrets/secret';
import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import type { SecretStore } from '../../secrets/secret-store';
import {
  afterWaiting,
  waitedMs,
  SecretStoreDecorator,
  type StoreCall,
} from '../../secrets/secret-store-decorator';
import type { StoreLoadObserver } from './circuit-breaker.secret-store';

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

/** Limits the calls that the store gets at once; waiting calls get permits in fair order of their workspaces. */
export class ConcurrencyLimitSecretStore extends SecretStoreDecorator {
  readonly #queue: FairQueue;
  readonly #creates: SharedCreates;

  constructor(
    inner: SecretStore,
    bounds: FairQueueBounds,
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
  override create(scope: SecretScope, secret: Secret): Promise<void> {
    const sinceMs = this.time.nowMs() - waitedMs();
    return this.#creates.run(scope, secret.name, () =>
      afterWaiting(this.time.nowMs() - sinceMs, () => super.create(scope, secret)),
    );
  }

  /** @throws TooManyRequests without a call to the store */
  protected async intercept<T>({ scope }: StoreCall, next: () => Promise<T>): Promise<T> {
    const waitedBeforeMs = waitedMs();
    const beganMs = this.time.nowMs() - waitedBeforeMs;
    const work = (): Promise<T> => afterWaiting(this.time.nowMs() - beganMs, next);
    return this.#queue.run(workspaceKey(scope), work, waitedBeforeMs);
  }
}

function workspaceKey(scope: SecretScope | undefined): string {
  return scope === undefined ? NO_WORKSPACE : JSON.stringify([scope.user, scope.workspace]);
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
   * @throws SecretAlreadyExists, TooManyRequests
   */
  async run(scope: SecretScope, name: string, create: () => Promise<void>): Promise<void> {
    const [scopeKey, key] = [scopeKeyOf(scope), JSON.stringify([scopeKeyOf(scope), name])];
    for (;;) {
      const underWay = this.#underWay.get(key);
      if (underWay === undefined) break;
      if (await this.#waitFor(scopeKey, underWay)) throw new SecretAlreadyExists(name);
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

  async #waitFor(scopeKey: string, underWay: Promise<boolean>): Promise<boolean> {
    const waiting = this.#waiting.get(scopeKey) ?? 0;
    if (waiting >= this.maxWaitingPerKey) throw new TooManyRequests(1);
    this.#waiting.set(scopeKey, waiting + 1);
    try {
      return await underWay;
    } finally {
      const left = (this.#waiting.get(scopeKey) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(scopeKey);
      else this.#waiting.set(scopeKey, left);
    }
  }
}
