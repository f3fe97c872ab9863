import { Mutex } from 'async-mutex';
import { UserRemovalPending } from '../errors/departure-errors';
import type { RemovalOrders } from './removal-orders';
import type { RemovalWorker } from './removal-worker';

/** What happens when a user comes or goes: the workspaces go with the user, in the background, and a user who comes finds none. */
export class DepartedUsers {
  private readonly turns = new Mutex();

  constructor(
    private readonly orders: RemovalOrders,
    private readonly worker: RemovalWorker,
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
