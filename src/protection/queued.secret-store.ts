import type { MonotonicTime } from '../clock/monotonic-time';
import { FairTurns, type TurnBounds } from '../concurrency/fair-turns';
import { TooManyRequests } from '../errors/request-errors';
import type { Secret, SecretScope } from '../secrets/secret';
import type { SecretStore } from '../secrets/secret-store';
import { afterWaiting, waitedMs } from '../secrets/waited';
import { WrappedSecretStore, type StoreCall } from '../secrets/wrapped.secret-store';
import { SharedCreates } from './shared-creates';
import type { StoreLoadObserver } from './store-load-observer';

/** What a server of Infisical's kind does at once without getting slower, and what one workspace may take of it. */
export const QUEUE_BOUNDS = {
  maxUnderWay: 16,
  maxUnderWayOfOne: 4,
  maxWaiting: 1_000,
  maxWaitingOfOne: 100,
  byPace: true,
} as const satisfies Omit<TurnBounds, 'maxWaitMs'>;

const LONGEST_RETRY_AFTER_S = 60;
/** The line of what goes over all workspaces, which runs in the background. */
const NO_WORKSPACE = '';

/** A store that gets so many calls at once and no more; those that wait get their turns workspace by workspace. */
export class QueuedSecretStore extends WrappedSecretStore {
  readonly #turns: FairTurns;
  readonly #creates: SharedCreates;

  constructor(
    inner: SecretStore,
    bounds: TurnBounds,
    private readonly time: MonotonicTime,
    observer: StoreLoadObserver | undefined,
  ) {
    super(inner);
    this.#creates = new SharedCreates(bounds.maxWaitingOfOne);
    this.#turns = new FairTurns(bounds, time, (lineMs) => {
      observer?.turnRefused();
      return new TooManyRequests(Math.min(LONGEST_RETRY_AFTER_S, Math.max(1, Math.ceil(lineMs / 1000))));
    });
    observer?.queueOpened(() => ({ waiting: this.#turns.waiting, underWay: this.#turns.underWay }));
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
