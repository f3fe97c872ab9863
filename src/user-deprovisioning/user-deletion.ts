import type { UserPresence } from '../authn/caller';
import { StoreUnavailable } from '../errors/store-errors';
import type { LogEvent } from '../logging/log';
import { UNATTENDED } from '../secrets/call-context';
import type { StoredWorkspace, UserWorkspaces } from '../secrets/secret-store';
import type { DeletionJobSnapshot, DeletionJob, DeletionJobs } from './deletion-jobs';

/** After so many rounds somebody still writes; the rest is left to a later attempt. */
const MAX_ROUNDS = 10;

/**
 * `stopped`: the process is about to end. `overtaken`: another replica finished first. `held`: the cluster still has the
 * user, so the event was premature, or it was about another user. All but `done` are log events, `user_removal_<result>`.
 */
export type DeletionResult = 'done' | 'overtaken' | 'stopped' | 'held';

/** Removes all workspaces of one user; it may be interrupted between any two of them and run again. */
export class UserDeletion {
  constructor(
    private readonly workspaces: UserWorkspaces,
    private readonly jobs: DeletionJobs,
    private readonly users: UserPresence | undefined,
    private readonly log: LogEvent,
  ) {}

  async run(user: string, snapshot: DeletionJobSnapshot, signal: AbortSignal): Promise<DeletionResult> {
    const due = snapshot.dueOf(user);
    if (due.every(({ confirmedAtMs }) => confirmedAtMs === undefined)) {
      if (this.users?.isHere(user) !== false) return 'held';
      await this.jobs.confirm(due);
    }
    this.log('info', 'user_removal_started', { user });
    const removed = new Set<string>();
    for (let round = 1, known = due; round <= MAX_ROUNDS; round++) {
      const listed = this.mayListNewUsers(user, known)
        ? []
        : await this.workspaces.workspacesOf(user, UNATTENDED);
      if (signal.aborted) return 'stopped';
      const stillDue = (await this.jobs.read()).dueOf(user);
      known = stillDue;
      const found = unionOf(listed, stillDue, removed);
      if (found.length === 0) {
        await this.jobs.complete(user, due);
        this.log('info', 'user_removal_done', { user, workspaces: removed.size });
        return 'done';
      }
      // As long as a job is due, no new user of that name is accepted, so all listed workspaces are the old user's. A workspace
      // that is made later has another id and is not among these.
      if (stillDue.length === 0) return 'overtaken';
      await this.jobs.addFound(
        stillDue,
        found.map(({ id }) => id),
      );
      if ((await this.removeAll(user, found, removed, signal)) === 'stopped') return 'stopped';
    }
    throw new StoreUnavailable('Workspaces of a deleted user are still being made.');
  }

  /**
   * Where a removal took so long that a new user of that name exists, the store may list the new user's workspaces. All
   * workspaces of the old user were written down in the first round, and only those are removed then.
   */
  private mayListNewUsers(user: string, due: readonly DeletionJob[]): boolean {
    return this.users?.isHere(user) === true && due.some(({ found }) => found !== undefined);
  }

  private async removeAll(
    user: string,
    found: readonly StoredWorkspace[],
    removed: Set<string>,
    signal: AbortSignal,
  ): Promise<'removed' | 'stopped'> {
    try {
      for (const workspace of found) {
        if (signal.aborted) return 'stopped';
        await this.workspaces.removeWorkspace(workspace, UNATTENDED);
        removed.add(workspace.id);
        this.log('info', 'user_removal_progress', { user, removed: removed.size, found: found.length });
      }
      return 'removed';
    } catch (error: unknown) {
      // This only saves the next attempt some calls, so its own failure is ignored.
      if (removed.size > 0) await this.jobs.dropRemoved(user, removed).catch(() => undefined);
      throw error;
    }
  }
}

/** Returns the listed workspaces, and after them those that only the jobs know. */
function unionOf(
  listed: readonly StoredWorkspace[],
  due: readonly DeletionJob[],
  removed: ReadonlySet<string>,
): readonly StoredWorkspace[] {
  const known = due.flatMap(({ found = [] }) => found).filter((id) => !removed.has(id));
  return [...new Set([...listed.map(({ id }) => id), ...known])].map((id) => ({ id }));
}
