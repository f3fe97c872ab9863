import { Mutex } from 'async-mutex';
import { UserRemovalPending } from '../errors/request-errors';
import { DeletionJobs } from './deletion-jobs';
import { DeletionWorker, BackgroundDeletions } from './deletion-worker';
import type { Clock, MonotonicTime } from '../time/clock';
import type { UserPresence } from '../authn/user-token.verifier';
import type { LogEvent } from '../logging/log';
import type { SecretStore } from '../secrets/secret-store';
import { UserDeletion } from './user-deletion';

/** What happens when a user comes or goes: the workspaces go with the user, in the background, and a user who comes finds none. */
export class UserDeprovisioning {
  private readonly turns = new Mutex();

  constructor(
    private readonly orders: DeletionJobs,
    private readonly worker: DeletionWorker,
  ) {}

  /** Resolves once it is durable that the user is to be removed. The same event may come again. */
  async userDeleted(user: string): Promise<void> {
    // Taken here, not when the turn comes: a user who is back meanwhile is not meant.
    const order = this.orders.newOrder(user);
    await this.turns.runExclusive(() => this.orders.add(order));
    this.worker.wake(user);
  }

  /**
   * Nothing is made: a workspace is made by its first secret. Resolves once nothing of an earlier user of that name is
   * left, nor will be removed. @throws UserRemovalPending: the sender comes again
   */
  async userCreated(user: string): Promise<void> {
    // In turn: an event that is still being written down must not be overlooked.
    await this.turns.runExclusive(async () => {
      const book = await this.orders.read();
      if (book.dueOf(user).length > 0) {
        this.worker.wake(user);
        throw new UserRemovalPending();
      }
      const done = book.lastDoneOf(user);
      if (done !== undefined) await this.orders.userIsBack(done);
    });
  }
}

interface DeprovisioningOptions {
  readonly store: SecretStore;
  readonly clock: Clock;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** Undefined where nobody can tell of users: there nothing is removed. */
  readonly users: UserPresence | undefined;
}

/** The parts of this room, put together. */
export function deprovisioning({ store, clock, time, log, users }: DeprovisioningOptions): {
  readonly userDeprovisioning: UserDeprovisioning;
  readonly background: BackgroundDeletions;
} {
  const orders = new DeletionJobs(store, clock, log);
  const around = { time, log, nowMs: () => clock.nowMs(), random: Math.random };
  const worker = new DeletionWorker(orders, new UserDeletion(store, orders, users, log), around);
  users?.onGone((user) => worker.wakeIfDue(user));
  return {
    userDeprovisioning: new UserDeprovisioning(orders, worker),
    background: new BackgroundDeletions(worker, users !== undefined),
  };
}
