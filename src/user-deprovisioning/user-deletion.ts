import { StoreUnavailable } from '../errors/store-errors';
import type { UserPresence } from '../authn/user-token.verifier';
import type { LogEvent } from '../logging/log';
import type { SecretStore, StoredWorkspace } from '../secrets/secret-store';
import type { DeletionJobStorage, DeletionJob, DeletionJobs } from './deletion-jobs';

/** More looks mean that somebody goes on writing: the rest is for a later attempt. */
const MAX_LOOKS = 10;

/**
 * `stopped` where the process is about to end, `overtaken` where another replica was faster, `held` where the cluster still
 * has the user, so that the event was premature, or somebody else's.
 */
export type DeletionResult = 'done' | 'overtaken' | 'stopped' | 'held';

/** Removes all workspaces of one user, and can be broken off and begun again between any two. */
export class UserDeletion {
  constructor(
    private readonly store: SecretStore,
    private readonly orders: DeletionJobs,
    private readonly users: UserPresence | undefined,
    private readonly log: LogEvent,
  ) {}

  async run(user: string, book: DeletionJobStorage, signal: AbortSignal): Promise<DeletionResult> {
    const due = book.dueOf(user);
    if (due.every(({ confirmedAtMs }) => confirmedAtMs === undefined)) {
      if (this.users?.isHere(user) !== false) return 'held';
      await this.orders.confirm(due);
    }
    this.log('info', 'user_removal_started', { user });
    const gone = new Set<string>();
    for (let look = 1, known = due; look <= MAX_LOOKS; look++) {
      const listed = this.isOfNewUser(user, known) ? [] : await this.store.workspacesOf(user);
      if (signal.aborted) return 'stopped';
      const stillDue = (await this.orders.read()).dueOf(user);
      known = stillDue;
      const found = unionOf(listed, stillDue, gone);
      if (found.length === 0) {
        await this.orders.complete(user, due);
        this.log('info', 'user_removal_done', { user, workspaces: gone.size });
        return 'done';
      }
      // What was found before an order was last seen is of the old user: nobody is told that a new one is there while
      // an order is due. Whatever is made later is another workspace, and not among these.
      if (stillDue.length === 0) return 'overtaken';
      await this.orders.remember(
        stillDue,
        found.map(({ id }) => id),
      );
      if ((await this.removeAll(user, found, gone, signal)) === 'stopped') return 'stopped';
    }
    throw new StoreUnavailable('Workspaces of a deleted user are still being made.');
  }

  /**
   * What a store would list now may be a new user's of that name, where a removal took so long. All that was there when
   * the user was gone was written down by the first look: only that is removed then.
   */
  private isOfNewUser(user: string, due: readonly DeletionJob[]): boolean {
    return this.users?.isHere(user) === true && due.some(({ found }) => found !== undefined);
  }

  private async removeAll(
    user: string,
    found: readonly StoredWorkspace[],
    gone: Set<string>,
    signal: AbortSignal,
  ): Promise<'removed' | 'stopped'> {
    try {
      for (const workspace of found) {
        if (signal.aborted) return 'stopped';
        await this.store.removeWorkspace(workspace);
        gone.add(workspace.id);
        this.log('info', 'user_removal_progress', { user, removed: gone.size, found: found.length });
      }
      return 'removed';
    } catch (error: unknown) {
      // Only spares the next attempt some calls: the failure is what counts.
      if (gone.size > 0) await this.orders.forget(user, gone).catch(() => undefined);
      throw error;
    }
  }
}

/** What the store shows, and last what only the orders still know of. */
function unionOf(
  listed: readonly StoredWorkspace[],
  due: readonly DeletionJob[],
  gone: ReadonlySet<string>,
): readonly StoredWorkspace[] {
  const known = due.flatMap(({ found = [] }) => found).filter((id) => !gone.has(id));
  return [...new Set([...listed.map(({ id }) => id), ...known])].map((id) => ({ id }));
}
