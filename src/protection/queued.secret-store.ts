import type { MonotonicTime } from '../clock/monotonic-time';
import { TooManyRequests } from '../errors/request-errors';
import type { SecretStore } from '../secrets/secret-store';
import { afterWaiting } from '../secrets/waited';
import { WrappedSecretStore, type StoreCall } from '../secrets/wrapped.secret-store';
import { FairTurns, type Turn, type TurnBounds } from './fair-turns';
import type { StoreLoadObserver } from './store-load-observer';

export interface QueueOptions extends TurnBounds {
  /** Who waits so long in vain is sent away. */
  readonly maxWaitMs: number;
}

/** What a server of Infisical's kind does at once without getting slower, and what one workspace may take of it. */
export const QUEUE_BOUNDS = {
  maxUnderWay: 16,
  maxUnderWayOfOne: 4,
  maxWaiting: 1_000,
  maxWaitingOfOne: 100,
} as const satisfies TurnBounds;

const RETRY_AFTER_S = 1;
/** The line of what goes over all workspaces, which runs in the background. */
const NO_WORKSPACE = '';

/** A store that gets so many calls at once and no more; those that wait get their turns workspace by workspace. */
export class QueuedSecretStore extends WrappedSecretStore {
  readonly #turns: FairTurns;

  constructor(
    inner: SecretStore,
    private readonly options: QueueOptions,
    private readonly time: MonotonicTime,
    private readonly observer: StoreLoadObserver | undefined,
  ) {
    super(inner);
    this.#turns = new FairTurns(options);
    observer?.queueOpened(() => ({ waiting: this.#turns.waiting, underWay: this.#turns.underWay }));
  }

  /** @throws TooManyRequests before the store was asked */
  protected async around<T>({ scope }: StoreCall, pass: () => Promise<T>): Promise<T> {
    const key = scope === undefined ? NO_WORKSPACE : JSON.stringify([scope.user, scope.workspace]);
    const beganMs = this.time.nowMs();
    const turn = this.#turns.ask(key);
    if (turn === undefined || (turn.come !== undefined && !(await this.#inTime(turn.come, turn)))) {
      this.observer?.turnRefused();
      throw new TooManyRequests(RETRY_AFTER_S);
    }
    try {
      return await afterWaiting(this.time.nowMs() - beganMs, pass);
    } finally {
      this.#turns.ended(key);
    }
  }

  async #inTime(come: Promise<void>, turn: Turn): Promise<boolean> {
    let callOff = (): void => undefined;
    const givenUp = new Promise<boolean>((resolve) => {
      callOff = this.time.after(this.options.maxWaitMs, () => {
        if (turn.giveUp()) resolve(false);
      });
    });
    const came = await Promise.race([come.then(() => true), givenUp]);
    callOff();
    return came;
  }
}
