import { Mutex } from 'async-mutex';
import type { UserPresence } from '../authn/user-token.verifier';
import { UserRemovalPending } from '../errors/request-errors';
import type { LogEvent } from '../logging/log';
import type { SecretStore } from '../secrets/secret-store';
import type { Clock, MonotonicTime } from '../time/clock';
import type { DeletionJobStorage } from './deletion-job-storage';
import { DeletionJobs } from './deletion-jobs';
import { DeletionWorker } from './deletion-worker';
import { EarlierDeletionJobs } from './earlier-deletion-jobs';
import { UserDeletion } from './user-deletion';

/** Handles the events of users: a deleted user's workspaces are removed in the background, and a new user finds none. */
export class UserDeprovisioning {
  private readonly mutex = new Mutex();

  constructor(
    private readonly jobs: DeletionJobs,
    private readonly worker: DeletionWorker,
  ) {}

  /** Resolves once it is durable that the user is to be removed. The same event may come again. */
  async userDeleted(user: string): Promise<void> {
    // The job's time is that of the event and not that of the mutex, so that it spares a user who returns meanwhile.
    const job = this.jobs.newJob(user);
    await this.mutex.runExclusive(() => this.jobs.add(job));
    this.worker.wake(user);
  }

  /**
   * Resolves once nothing of an earlier user of that name is left, nor will be removed. It makes nothing: a workspace is made
   * by its first secret. @throws UserRemovalPending (503), on which the sender repeats the event
   */
  async userCreated(user: string): Promise<void> {
    // The mutex waits for a job that is still being written.
    await this.mutex.runExclusive(async () => {
      const snapshot = await this.jobs.read();
      if (snapshot.dueOf(user).length > 0) {
        this.worker.wake(user);
        throw new UserRemovalPending();
      }
      const done = snapshot.lastDoneOf(user);
      if (done !== undefined) await this.jobs.userIsBack(done);
    });
  }
}

interface DeprovisioningOptions {
  readonly store: SecretStore;
  readonly jobStorage: DeletionJobStorage;
  readonly clock: Clock;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** Undefined where the cluster's users are not known, so that nothing is removed. */
  readonly users: UserPresence | undefined;
}

/** Builds the parts of this folder. */
export function deprovisioning({ store, jobStorage, clock, time, log, users }: DeprovisioningOptions): {
  readonly userDeprovisioning: UserDeprovisioning;
  readonly worker: DeletionWorker;
} {
  const earlier = new EarlierDeletionJobs(store, jobStorage, time, log);
  const jobs = new DeletionJobs(jobStorage, earlier, clock, log);
  const deletion = new UserDeletion(store, jobs, users, log);
  const deps = { clock, time, log, random: Math.random };
  const worker = new DeletionWorker(jobs, deletion, deps, users !== undefined);
  users?.onGone((user) => worker.wakeIfDue(user));
  return { userDeprovisioning: new UserDeprovisioning(jobs, worker), worker };
}
