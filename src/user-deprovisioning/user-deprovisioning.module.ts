import { Module } from '@nestjs/common';
import { UserPresence } from '../authn/caller';
import { factory, Runtime } from '../bootstrap/runtime.module';
import type { LogEvent } from '../logging/log';
import { SecretStore, UserWorkspaces } from '../secrets/secret-store';
import { Clock, MonotonicTime } from '../time/clock';
import { DeletionJobs, DeletionJobStorage } from './deletion-jobs';
import { EarlierDeletionJobs, UserDeletion } from './user-deletion';
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

/** Builds the parts of this folder. */
export function deprovisioning(options: DeprovisioningOptions): UserDeprovisioning {
  const { store, workspaces, jobStorage, clock, time, log, users } = options;
  const earlier = new EarlierDeletionJobs(store, jobStorage, time, log);
  const jobs = new DeletionJobs(jobStorage, earlier, clock, time, log);
  const deletion = new UserDeletion(workspaces, jobs, users, log);
  const deps = { clock, time, log, random: Math.random };
  const made = new UserDeprovisioning(jobs, deletion, deps, users !== undefined);
  users?.onGone((user) => made.userIsGone(user));
  return made;
}

/** Provides the handler of users' events, whose work in the background Nest starts and stops. */
@Module({
  providers: [
    factory(
      UserDeprovisioning,
      [SecretStore, UserWorkspaces, DeletionJobStorage, Clock, MonotonicTime, Runtime, UserPresence],
      (store, workspaces, jobStorage, clock, time, { log }, users) =>
        deprovisioning({ store, workspaces, jobStorage, clock, time, log, users }),
    ),
  ],
  exports: [UserDeprovisioning],
})
export class UserDeprovisioningModule {}
