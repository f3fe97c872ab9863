import { StoreUnavailable } from '../errors/store-errors';
import type { UserPresence } from '../identity/user-presence';
import type { LogEvent } from '../logging/log';
import type { SecretStore } from '../secrets/secret-store';
import type { OrderBook } from './order-book';
import type { RemovalOrders } from './removal-orders';

/** More looks mean that somebody goes on writing: the rest is for a later attempt. */
const MAX_LOOKS = 10;

/**
 * `stopped` where the process is about to end, `overtaken` where another replica was faster, `held` where the cluster still
 * has the user, so that the event was premature, or somebody else's.
 */
export type RemovalResult = 'done' | 'overtaken' | 'stopped' | 'held';

/** Removes all workspaces of one user, and can be broken off and begun again between any two. */
export class UserRemoval {
  constructor(
    private readonly store: SecretStore,
    private readonly orders: RemovalOrders,
    private readonly users: UserPresence | undefined,
    private readonly log: LogEvent,
  ) {}

  async run(user: string, book: OrderBook, signal: AbortSignal): Promise<RemovalResult> {
    const due = book.dueOf(user);
    if (due.every(({ confirmedAtMs }) => confirmedAtMs === undefined)) {
      if (this.users?.isHere(user) !== false) return 'held';
      await this.orders.confirm(due);
    }
    this.log('info', 'user_removal_started', { user });
    let removed = 0;
    for (let look = 1; look <= MAX_LOOKS; look++) {
      const found = await this.store.workspacesOf(user);
      if (signal.aborted) return 'stopped';
      if (found.length === 0) {
        await this.orders.complete(user, due);
        this.log('info', 'user_removal_done', { user, workspaces: removed });
        return 'done';
      }
      // What was found before an order was last seen is of the old user: nobody is told that a new one is there while
      // an order is due. Whatever is made later is another workspace, and not among these.
      if ((await this.orders.read()).dueOf(user).length === 0) return 'overtaken';
      for (const workspace of found) {
        if (signal.aborted) return 'stopped';
        await this.store.removeWorkspace(workspace);
        removed += 1;
        this.log('info', 'user_removal_progress', { user, removed, found: found.length });
      }
    }
    throw new StoreUnavailable('Workspaces of a deleted user are still being made.');
  }
}
