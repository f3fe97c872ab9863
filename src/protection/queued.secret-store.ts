import type { MonotonicTime } from '../clock/monotonic-time';
import { FairTurns, type TurnBounds } from '../concurrency/fair-turns';
import { TooManyRequests } from '../errors/request-errors';
import type { SecretStore } from '../secrets/secret-store';
import { afterWaiting, waitedMs } from '../secrets/waited';
import { WrappedSecretStore, type StoreCall } from '../secrets/wrapped.secret-store';
import type { StoreLoadObserver } from './store-load-observer';

/** What a server of Infisical's kind does at once without getting slower, and what one workspace may take of it. */
export const QUEUE_BOUNDS = {
  maxUnderWay: 16,
  maxUnderWayOfOne: 4,
  maxWaiting: 1_000,
  maxWaitingOfOne: 100,
} as const satisfies Omit<TurnBounds, 'maxWaitMs'>;

const RETRY_AFTER_S = 1;
/** The line of what goes over all workspaces, which runs in the background. */
const NO_WORKSPACE = '';

/** A store that gets so many calls at once and no more; those that wait get their turns workspace by workspace. */
export class QueuedSecretStore extends WrappedSecretStore {
  readonly #turns: FairTurns;

  constructor(
    inner: SecretStore,
    bounds: TurnBounds,
    private readonly time: MonotonicTime,
    observer: StoreLoadObserver | undefined,
  ) {
    super(inner);
    this.#turns = new FairTurns(bounds, time, () => {
      observer?.turnRefused();
      return new TooManyRequests(RETRY_AFTER_S);
    });
    observer?.queueOpened(() => ({ waiting: this.#turns.waiting, underWay: this.#turns.underWay }));
  }

  /** @throws TooManyRequests before the store was asked */
  protected async around<T>({ scope }: StoreCall, pass: () => Promise<T>): Promise<T> {
    const key = scope === undefined ? NO_WORKSPACE : JSON.stringify([scope.user, scope.workspace]);
    const beganMs = this.time.nowMs() - waitedMs();
    return this.#turns.run(key, () => afterWaiting(this.time.nowMs() - beganMs, pass));
  }
}
