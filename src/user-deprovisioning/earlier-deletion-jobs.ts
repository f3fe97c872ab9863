import { SecretNotFound, StoreUnavailable } from '../errors/store-errors';
import type { LogEvent } from '../logging/log';
import { UNATTENDED } from '../secrets/call-context';
import type { SecretScope } from '../secrets/secret';
import type { SecretStore } from '../secrets/secret-store';
import type { MonotonicTime } from '../time/clock';
import type { DeletionJobStorage } from './deletion-job-storage';

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
