import { Mutex } from 'async-mutex';
import { UserRemovalPending } from '../errors/request-errors';
import type { DeletionJobs } from './deletion-jobs';
import type { DeletionWorker } from './deletion-worker';

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
