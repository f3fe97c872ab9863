import { Module } from '@nestjs/common';
import { UserPresence } from '../authn/caller';
import { factory, Runtime } from '../bootstrap/runtime.module';
import type { LogEvent } from '../logging/log';
import { SecretStore, UserWorkspaces } from '../secrets/secret-store';
import { Clock, MonotonicTime } from '../time/clock';
import { DeletionJobStorage } from './deletion-job-storage';
import { DeletionJobs } from './deletion-jobs';
import { DeletionWorker } from './deletion-worker';
import { EarlierDeletionJobs } from './earlier-deletion-jobs';
import { UserDeletion } from './user-deletion';
import { UserDeprovisioning } from './user-deprovisioning';

interface DeprovisioningOptions {
  readonly store: SecretStore;
  readonly workspaces: UserWorkspaces;
  readonly jobStorage: DeletionJobStorage;
  readonly clock: Clock;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** Undefined where the cluster's users are not known, so that nothing is removed. */
  readonly users: UserPresence | undefined;
}

abstract class Parts {
  abstract readonly userDeprovisioning: UserDeprovisioning;
  abstract readonly worker: DeletionWorker;
}

/** Builds the parts of this folder. */
export function deprovisioning(options: DeprovisioningOptions): Parts {
  const { store, workspaces, jobStorage, clock, time, log, users } = options;
  const earlier = new EarlierDeletionJobs(store, jobStorage, time, log);
  const jobs = new DeletionJobs(jobStorage, earlier, clock, log);
  const deletion = new UserDeletion(workspaces, jobs, users, log);
  const deps = { clock, time, log, random: Math.random };
  const worker = new DeletionWorker(jobs, deletion, deps, users !== undefined);
  users?.onGone((user) => worker.wakeIfDue(user));
  return { userDeprovisioning: new UserDeprovisioning(jobs, worker), worker };
}

/** Provides the handler of users' events, and the worker, which Nest starts and stops. */
@Module({
  providers: [
    factory(
      Parts,
      [SecretStore, UserWorkspaces, DeletionJobStorage, Clock, MonotonicTime, Runtime, UserPresence],
      (store, workspaces, jobStorage, clock, time, { log }, users) =>
        deprovisioning({ store, workspaces, jobStorage, clock, time, log, users }),
    ),
    factory(UserDeprovisioning, [Parts], (parts) => parts.userDeprovisioning),
    factory(DeletionWorker, [Parts], (parts) => parts.worker),
  ],
  exports: [UserDeprovisioning],
})
export class UserDeprovisioningModule {}
