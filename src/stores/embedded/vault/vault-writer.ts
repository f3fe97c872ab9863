import { StoreFull, StoreUnavailable } from '../../../errors/store-errors';
import type { MonotonicTime } from '../../../time/clock';
import type { DiskSpace } from '../disk-space';
import { foreignField } from '../../../errors/operator-errors';
import { isSecretKey, scopeRangeOf, type VaultDatabase } from '../records';
import { batchBytes, CommitQueue, NotWritten, type WriteOperation } from './commit-queue';
import { bytesToOpen } from './vault-database';

const OUT_OF_SPACE = /no space left|quota exceeded/i;
/** Pause after a reopening that failed for want of disk space. */
const RETRY_AFTER_MS = 1_000;

/**
 * Reopens the database after LevelDB met a full disk, in a write or in work of its own: until then it takes no write any more,
 * not even a delete. It gets all of the reserve. Any other failure is left to a restart, which checks the files.
 */
export class DatabaseRecovery {
  /** The number of reopenings so far. */
  generation = 0;
  private opening: Promise<boolean> | undefined;
  private notBeforeMs = -Infinity;

  constructor(
    private readonly database: VaultDatabase,
    private readonly disk: DiskSpace,
    private readonly time: MonotonicTime,
  ) {}

  /** Returns whether the database takes writes again. Where there is too little disk space to reopen it, it stays open for reads. */
  async recoverFrom(error: unknown): Promise<boolean> {
    // LevelDB passes on nothing but the system's text.
    const message = foreignField(error, 'message');
    return typeof message === 'string' && OUT_OF_SPACE.test(message) && this.reopen();
  }

  /** Returns whether the database was reopened since that generation, so that a call that found it closed can be repeated. */
  async isReopenedSince(generation: number): Promise<boolean> {
    await this.opening;
    if (this.database.status === 'closed') await this.reopen();
    return this.generation !== generation;
  }

  private reopen(): Promise<boolean> {
    this.opening ??= this.tryToOpen().finally(() => (this.opening = undefined));
    return this.opening;
  }

  private async tryToOpen(): Promise<boolean> {
    if (this.time.nowMs() < this.notBeforeMs) return false;
    this.notBeforeMs = this.time.nowMs() + RETRY_AFTER_MS;
    try {
      const needed = await bytesToOpen(this.database.location);
      if ((await this.disk.freeUpToOpen(needed)) < needed) return false;
      await this.database.close();
      await this.database.open();
    } catch {
      return false;
    }
    this.notBeforeMs = -Infinity;
    this.generation += 1;
    return true;
  }
}

/** A write to a record that never exists. */
const NO_RECORD: WriteOperation = { type: 'del', key: Buffer.from([0]) };

/** Writes to the database as long as the disk has space, and deletes as long as the reserve has. */
export class VaultWriter {
  private readonly commits: CommitQueue;
  private readonly reclaim: SpaceReclaim;

  constructor(
    database: VaultDatabase,
    private readonly disk: DiskSpace,
    private readonly recovery: DatabaseRecovery,
    time: MonotonicTime,
  ) {
    this.commits = new CommitQueue(database, (error) => recovery.recoverFrom(error));
    this.reclaim = new SpaceReclaim(database, disk, time, () => this.takesWrites());
  }

  /**
   * Resolves when all operations are on disk. Operations that only delete are never refused for want of space.
   * @param isServicesOwn nor are those of the service itself, as long as there is any space
   * @throws StoreFull, StoreUnavailable: nothing was written; StoreOutcomeUnknown
   */
  async write(operations: readonly WriteOperation[], isServicesOwn: boolean): Promise<void> {
    const bytes = batchBytes(operations);
    if (bytes > 0 && !isServicesOwn) {
      if (!(await this.isWrittenIn(2, () => this.storeOnce(operations, bytes)))) {
        this.disk.noteShortage();
        throw new StoreFull();
      }
    } else if (!(await this.isWrittenIn(4, () => this.deleteOnce(operations)))) throw new StoreUnavailable();
    for (const { key } of operations) if (isSecretKey(key)) this.reclaim.note(key);
    this.reclaim.start();
  }

  /** Tries to recover from a failed write. Returns whether writes are taken. */
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
   * Returns false when every attempt met a full disk. After each one the database was reopened with what the reserve has, but a
   * compaction that begins then may fail again and stop all writes, so a write that must not be refused is tried more often.
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

  /** Writes something that changes nothing. Returns whether LevelDB still took it, so that its last compaction has not failed. */
  private async takesWrites(): Promise<boolean> {
    const { generation } = this.recovery;
    await this.commits.commit([NO_RECORD]);
    return this.recovery.generation === generation;
  }
}

const MAX_PENDING = 1_000;
/** A compaction of the whole database is done in so many parts, between which it can be closed. */
const PARTS = 16;
/** After a compaction that failed, or for which there was too little space; while nobody writes, twice as long each time. */
const RETRY_RECLAIM_AFTER_MS = 2_000;
const MAX_RETRY_RECLAIM_AFTER_MS = 60_000;
/** With less free space than this, no compaction is begun. */
const MIN_FREE_BYTES = 2 * 1024 * 1024;

type KeyRange = readonly [from: Buffer, to: Buffer];

/**
 * Compacts the database once the disk is nearly full, so that LevelDB gives back what was deleted or overwritten. By itself it does so
 * when enough else was written, which never happens while there are only deletes.
 */
class SpaceReclaim {
  /** Ranges that may hold something to give back, by their first key; at first the whole database. */
  private readonly pending = new Map<string, KeyRange>();
  private running: Promise<void> | undefined;
  private notBeforeMs = -Infinity;
  private retryAfterMs = RETRY_RECLAIM_AFTER_MS;
  private cancelRetry: (() => void) | undefined;
  private closed = false;

  constructor(
    private readonly database: Pick<VaultDatabase, 'compactRange'>,
    private readonly disk: DiskSpace,
    private readonly time: MonotonicTime,
    private readonly takesWrites: () => Promise<boolean>,
  ) {
    this.addEverything();
  }

  /** Notes that the record of a secret was written or deleted. */
  note(recordKey: Buffer): void {
    const { gte, lte } = scopeRangeOf(recordKey);
    if (this.pending.size >= MAX_PENDING) this.addEverything();
    else this.pending.set(gte.toString('latin1'), [gte, lte]);
  }

  /** Begins to compact in the background, where the disk is nearly full; called with each write, and goes on by itself. */
  start(): void {
    if (!this.disk.isLow || this.closed || this.pending.size === 0 || this.running !== undefined) return;
    if (this.time.nowMs() < this.notBeforeMs) return;
    this.cancelRetry?.();
    this.running = this.run()
      .catch(() => false)
      .then((isDone) => {
        this.running = undefined;
        if (!isDone) return this.pause();
        this.retryAfterMs = RETRY_RECLAIM_AFTER_MS;
        this.start();
      });
  }

  private pause(): void {
    this.notBeforeMs = this.time.nowMs() + RETRY_RECLAIM_AFTER_MS;
    this.cancelRetry = this.time.after(this.retryAfterMs, () => {
      this.retryAfterMs = Math.min(2 * this.retryAfterMs, MAX_RETRY_RECLAIM_AFTER_MS);
      this.notBeforeMs = -Infinity;
      this.start();
    });
  }

  /** Resolves when no compaction runs, and none will. */
  async close(): Promise<void> {
    this.closed = true;
    await this.running;
    this.cancelRetry?.();
  }

  /** Returns false where there was too little space, or a compaction failed. */
  private async run(): Promise<boolean> {
    // Writes meanwhile note more ranges: those are for the next run, if the disk is nearly full then.
    for (const [from, range] of [...this.pending]) {
      if (this.closed) break;
      if ((await this.disk.freeUp(this.disk.wantedReserve)) < MIN_FREE_BYTES) return false;
      this.pending.delete(from);
      const taken = this.database.compactRange(...range).then(() => this.takesWrites());
      if (await taken.catch(() => false)) continue;
      this.pending.set(from, range);
      return false;
    }
    await this.disk.measure();
    return true;
  }

  /** Secrets have the keys that begin with a 3 and a hash. */
  private addEverything(): void {
    this.pending.clear();
    const width = 256 / PARTS;
    for (let first = 0; first < 256; first += width) {
      const from = Buffer.from([3, first]);
      const to = first + width < 256 ? Buffer.from([3, first + width]) : Buffer.from([4]);
      this.pending.set(from.toString('latin1'), [from, to]);
    }
  }
}
