import type { MonotonicTime } from '../../../time/clock';
import { bytesToOpen, type DiskSpace } from '../disk-space';
import type { VaultDatabase } from '../records';

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
    return isOutOfSpace(error) && this.reopen();
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

/** LevelDB passes on nothing but the system's text. Not `instanceof Error`: see systemCode. */
function isOutOfSpace(error: unknown): boolean {
  const message: unknown =
    typeof error === 'object' && error !== null ? Reflect.get(error, 'message') : undefined;
  return typeof message === 'string' && OUT_OF_SPACE.test(message);
}
