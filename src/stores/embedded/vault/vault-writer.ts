import type { MonotonicTime } from '../../../time/clock';
import type { DiskSpace } from '../disk-space';
import { scopeRangeOf, isSecretKey } from '../records';
import type { VaultDatabase } from '../records';
import { StoreFull, StoreUnavailable } from '../../../errors/store-errors';
import { batchBytes, CommitQueue, NotWritten, type WriteOperation } from './commit-queue';
import type { DatabaseRecovery } from './database-recovery';

const MAX_PENDING = 1_000;
/** The scopes of a database that is compacted as a whole are taken in so many parts, between which it can be closed. */
const PARTS = 16;
const AGAIN_AFTER_MS = 2_000;
/** With less free than this it is not even tried. */
const LEAST_FREE_BYTES = 2 * 1024 * 1024;

type Range = readonly [from: Buffer, to: Buffer];

/**
 * Has LevelDB give back what was deleted or overwritten once the disk is nearly full. By itself it does so when enough else was
 * written, which is never while nothing is written but deletes.
 */
class SpaceReclaim {
  /** What may hold something to give back, by where it begins; at first everything. */
  private readonly pending = new Map<string, Range>();
  private running: Promise<void> | undefined;
  private notBeforeMs = -Infinity;
  private closed = false;

  constructor(
    private readonly database: Pick<VaultDatabase, 'compactRange'>,
    private readonly disk: DiskSpace,
    private readonly time: MonotonicTime,
    /** Writes something that changes nothing. Returns whether LevelDB still took it, so that its compaction has not failed. */
    private readonly takesWrites: () => Promise<boolean>,
  ) {
    this.addEverything();
  }

  /** After the record of a secret was written or deleted. */
  note(recordKey: Buffer): void {
    const { gte, lte } = scopeRangeOf(recordKey);
    if (this.pending.size >= MAX_PENDING) this.addEverything();
    else this.pending.set(gte.toString('latin1'), [gte, lte]);
  }

  /** Begins, where the disk is nearly full. */
  start(): void {
    if (!this.disk.isLow || this.closed || this.pending.size === 0 || this.time.nowMs() < this.notBeforeMs)
      return;
    this.running ??= this.run()
      .catch(() => undefined)
      .finally(() => (this.running = undefined));
  }

  /** Resolves when nothing more is done. */
  async close(): Promise<void> {
    this.closed = true;
    await this.running;
  }

  private async run(): Promise<void> {
    this.notBeforeMs = this.time.nowMs() + AGAIN_AFTER_MS;
    for (const [from, range] of this.pending) {
      if (this.closed) break;
      if ((await this.disk.makeRoom(this.disk.compactionBytes)) < LEAST_FREE_BYTES) return;
      this.pending.delete(from);
      await this.database.compactRange(...range);
      if (await this.takesWrites()) continue;
      this.pending.set(from, range);
      return;
    }
    this.notBeforeMs = -Infinity;
    await this.disk.measure();
  }

  private addEverything(): void {
    this.pending.clear();
    for (let part = 0; part < PARTS; part++) {
      const range = partOf(part);
      this.pending.set(range[0].toString('latin1'), range);
    }
  }
}

/** Of the secrets' records; their keys are a hash behind a 3. */
function partOf(part: number): Range {
  const width = 256 / PARTS;
  return [
    Buffer.from([3, part * width]),
    part + 1 < PARTS ? Buffer.from([3, (part + 1) * width]) : Buffer.from([4]),
  ];
}

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
    const bytes = batchBytes(operations);
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
