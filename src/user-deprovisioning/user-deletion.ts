import type { UserPresence } from '../authn/caller';
import { SecretNotFound, StoreUnavailable } from '../errors/store-errors';
import type { LogEvent } from '../logging/log';
import type { SecretStore, UserWorkspaces } from '../secrets/secret-store';
import { type SecretScope, UNATTENDED } from '../secrets/secret';
import type { MonotonicTime } from '../time/clock';
import type { DeletionJob, DeletionJobs, DeletionJobStorage } from './deletion-jobs';

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

  async run(user: string, signal: AbortSignal): Promise<DeletionResult> {
    // Read anew for each user: the removal of another one may have taken minutes, in which this one was removed elsewhere, and came back.
    const waiting = (await this.jobs.read()).dueOf(user);
    if (waiting.length === 0) return 'overtaken';
    const isGone = this.users?.isHere(user) === false;
    if (isGone) await this.jobs.confirm(waiting);
    // What was confirmed is about an earlier user, even where one of that name is here; another event is about this one.
    const due = isGone ? waiting : waiting.filter(({ confirmedAtMs }) => confirmedAtMs !== undefined);
    if (due.length === 0) return 'held';
    const dueIds = new Set(due.map(({ id }) => id));
    this.log('info', 'user_removal_started', { user });
    const removed = new Set<string>();
    for (let round = 1, known = due; round <= MAX_ROUNDS; round++) {
      const listed = this.mayListNewUsers(user, known)
        ? []
        : await this.workspaces.workspacesOf(user, UNATTENDED);
      if (signal.aborted) return 'stopped';
      const stillDue = (await this.jobs.read()).dueOf(user).filter(({ id }) => dueIds.has(id));
      known = stillDue;
      const found = unionOf(listed, stillDue, removed);
      if (found.length === 0) {
        await this.jobs.complete(user, due);
        this.log('info', 'user_removal_done', { user, workspaces: removed.size });
        return due.length < waiting.length ? 'held' : 'done';
      }
      // As long as a job is due, no new user of that name is accepted, so all listed workspaces are the old user's. A workspace
      // that is made later has another id and is not among these.
      if (stillDue.length === 0) return due.length < waiting.length ? 'held' : 'overtaken';
      await this.jobs.addFound(stillDue, found);
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
    found: readonly string[],
    removed: Set<string>,
    signal: AbortSignal,
  ): Promise<'removed' | 'stopped'> {
    try {
      for (const id of found) {
        if (signal.aborted) return 'stopped';
        await this.workspaces.removeWorkspace(id, UNATTENDED);
        removed.add(id);
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

/** Returns the ids of the listed workspaces, and after them those that only the jobs know. */
function unionOf(
  listed: readonly string[],
  due: readonly DeletionJob[],
  removed: ReadonlySet<string>,
): readonly string[] {
  const known = due.flatMap(({ found = [] }) => found).filter((id) => !removed.has(id));
  return [...new Set([...listed, ...known])];
}

/**
 * Where versions up to 0.2.0 kept the deletion jobs: as secrets of a user whom nobody can be, since the name contains a '/', which
 * no namespace may, and is longer than a user name in a token may be.
 */
const EARLIER_SCOPE: SecretScope = {
  user: 'olares-secret-provider/departed-users'.padEnd(300, '/'),
  workspace: 'removal-orders',
  environment: 'prod',
};

/** How long after the start the place is read: during an upgrade a replica of the old version may still write to it. */
const READ_FOR_MS = 3_600_000;

/** Carries the deletion jobs that earlier versions left into the storage of today. */
export class EarlierDeletionJobs {
  private readonly readUntilMs: number;
  private isRead = false;

  constructor(
    private readonly store: SecretStore,
    private readonly storage: DeletionJobStorage,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {
    this.readUntilMs = time.nowMs() + READ_FOR_MS;
  }

  /**
   * Resolves once no job is in the earlier place alone. A job is stored in the new place before it is deleted from the earlier one, and
   * is not replaced there, so that it may be interrupted and repeated, also by several replicas at once.
   */
  async carryOver(): Promise<void> {
    if (this.isRead && this.time.nowMs() >= this.readUntilMs) return;
    const { secrets: jobs, unreadable } = await this.store.list(EARLIER_SCOPE, UNATTENDED);
    if (unreadable !== undefined) throw new StoreUnavailable();
    for (const { name, value } of jobs) {
      await this.storage.create({ id: name, text: value });
      await this.deleteEarlier(name);
    }
    this.isRead = true;
    if (jobs.length > 0) this.log('info', 'user_removal_jobs_carried_over', { count: jobs.length });
  }

  private async deleteEarlier(name: string): Promise<void> {
    try {
      await this.store.delete(EARLIER_SCOPE, name, UNATTENDED);
    } catch (error: unknown) {
      // Another replica has carried it over at the same time.
      if (!(error instanceof SecretNotFound)) throw error;
    }
  }
}
