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

/** Creates of one name in one scope, one at a time. */
class SharedCreates {
  readonly #underWay = new Map<string, Promise<boolean>>();
  /** By scope. */
  readonly #waiting = new Map<string, number>();

  /** @param maxWaitingPerKey how many may wait in one scope for what becomes of others */
  constructor(private readonly maxWaitingPerKey: number) {}

  /**
   * Whoever finds that another creates the same name waits for its outcome: once the name is there, it exists already;
   * else the next one tries. @throws SecretAlreadyExists, TooManyRequests
   */
  async run(scope: SecretScope, name: string, create: () => Promise<void>): Promise<void> {
    const [scopeKey, key] = [scopeKeyOf(scope), JSON.stringify([scopeKeyOf(scope), name])];
    for (;;) {
      const underWay = this.#underWay.get(key);
      if (underWay === undefined) break;
      if (await this.#waitedFor(scopeKey, underWay)) throw new SecretAlreadyExists(name);
    }
    const created = create();
    const isThere = created.then(
      () => true,
      (error: unknown) => error instanceof SecretAlreadyExists,
    );
    const ended = isThere.finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, ended);
    // Those who wait for it are answered with it.
    await ended;
    await created;
  }

  async #waitedFor(scopeKey: string, underWay: Promise<boolean>): Promise<boolean> {
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

/** What a server of Infisical's kind does at once without getting slower, and what one workspace may take of it. */
export const QUEUE_BOUNDS = {
  maxRunning: 16,
  maxRunningPerKey: 4,
  maxWaiting: 1_000,
  maxWaitingPerKey: 100,
  refusesByPace: true,
} as const satisfies Omit<FairQueueBounds, 'maxWaitMs'>;

const LONGEST_RETRY_AFTER_S = 60;
/** The line of what goes over all workspaces, which runs in the background. */
const NO_WORKSPACE = '';

/** A store that gets so many calls at once and no more; those that wait get their turns workspace by workspace. */
export class ConcurrencyLimitSecretStore extends SecretStoreDecorator {
  readonly #turns: FairQueue;
  readonly #creates: SharedCreates;

  constructor(
    inner: SecretStore,
    bounds: FairQueueBounds,
    private readonly time: MonotonicTime,
    observer: StoreLoadObserver | undefined,
  ) {
    super(inner);
    this.#creates = new SharedCreates(bounds.maxWaitingPerKey);
    this.#turns = new FairQueue(bounds, time, (lineMs) => {
      observer?.permitRefused();
      return new TooManyRequests(Math.min(LONGEST_RETRY_AFTER_S, Math.max(1, Math.ceil(lineMs / 1000))));
    });
    observer?.queueOpened(() => ({ waiting: this.#turns.waiting, underWay: this.#turns.running }));
  }

  /** Of creates of one name, one at a time is in the line; the others are answered by what becomes of it. */
  override create(scope: SecretScope, secret: Secret): Promise<void> {
    const sinceMs = this.time.nowMs() - waitedMs();
    return this.#creates.run(scope, secret.name, () =>
      afterWaiting(this.time.nowMs() - sinceMs, () => super.create(scope, secret)),
    );
  }

  /** @throws TooManyRequests before the store was asked */
  protected async around<T>({ scope }: StoreCall, pass: () => Promise<T>): Promise<T> {
    const waitedBeforeMs = waitedMs();
    const beganMs = this.time.nowMs() - waitedBeforeMs;
    const work = (): Promise<T> => afterWaiting(this.time.nowMs() - beganMs, pass);
    return this.#turns.run(workspaceKey(scope), work, waitedBeforeMs);
  }
}

function workspaceKey(scope: SecretScope | undefined): string {
  return scope === undefined ? NO_WORKSPACE : JSON.stringify([scope.user, scope.workspace]);
}
