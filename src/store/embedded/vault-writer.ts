import type { MonotonicTime } from '../../clock/monotonic-time';
import { StoreFull, StoreUnavailable } from '../../errors/store-errors';
import { bytesOf, CommitQueue, NotWritten, type WriteOperation } from './commit-queue';
import type { DatabaseRecovery } from './database-recovery';
import type { DiskSpace } from './disk-space';
import { isSecretKey } from './record-keys';
import { SpaceReclaim } from './space-reclaim';
import type { VaultDatabase } from './vault-database';

/** Never there. */
const NO_RECORD: WriteOperation = { type: 'del', key: Buffer.from([0]) };

/** Writes to the database as long as the disk has room, and deletes as long as the reserve has. */
export class VaultWriter {
  private readonly commits: CommitQueue;
  private readonly reclaim: SpaceReclaim;

  constructor(
    database: VaultDatabase,
    private readonly disk: DiskSpace,
    private readonly recovery: DatabaseRecovery,
    time: MonotonicTime,
  ) {
    this.commits = new CommitQueue(database, (error) => recovery.after(error));
    this.reclaim = new SpaceReclaim(database, disk, time, () => this.takesWrites());
  }

  /**
   * Resolves when all operations are on disk. What only deletes is never refused for want of room.
   * @param isServicesOwn neither is what the service itself stores, as long as there is any
   * @throws StoreFull, StoreUnavailable: nothing was written; StoreOutcomeUnknown
   */
  async write(operations: readonly WriteOperation[], isServicesOwn: boolean): Promise<void> {
    const bytes = bytesOf(operations);
    if (bytes > 0 && !isServicesOwn) {
      if (!(await this.isWrittenIn(2, () => this.storeOnce(operations, bytes)))) {
        this.disk.distrust();
        throw new StoreFull();
      }
    } else if (!(await this.isWrittenIn(4, () => this.deleteOnce(operations)))) throw new StoreUnavailable();
    for (const { key } of operations) if (isSecretKey(key)) this.reclaim.note(key);
    this.reclaim.start();
  }

  /** Returns whether writes are taken, and tries to bring that about. */
  repair(): Promise<boolean> {
    return this.commits.repair();
  }

  /** Resolves when nothing is done to the database any more. */
  async close(): Promise<void> {
    await this.reclaim.close();
  }

  private async storeOnce(operations: readonly WriteOperation[], bytes: number): Promise<void> {
    try {
      await this.disk.admit(bytes);
    } catch (error: unknown) {
      this.reclaim.start();
      throw error;
    }
    try {
      await this.commits.commit(operations);
    } finally {
      this.disk.settled(bytes);
    }
  }

  private async deleteOnce(operations: readonly WriteOperation[]): Promise<void> {
    await this.disk.prepareDelete();
    await this.commits.commit(operations);
  }

  /**
   * When there was no room for a write, the database was opened anew, with what the reserve has. A compaction that begins then may fail
   * once more and stop all writes again, so a write that matters is tried more often.
   */
  private async isWrittenIn(attempts: number, once: () => Promise<void>): Promise<boolean> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      try {
        await once();
        return true;
      } catch (error: unknown) {
        if (!(error instanceof NotWritten)) throw error;
      }
    }
    return false;
  }

  private async takesWrites(): Promise<boolean> {
    const { generation } = this.recovery;
    await this.commits.commit([NO_RECORD]);
    return this.recovery.generation === generation;
  }
}
