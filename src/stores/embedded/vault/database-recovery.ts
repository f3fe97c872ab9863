import type { MonotonicTime } from '../../../time/clock';
import { bytesToOpen, type DiskSpace } from '../disk-space';
import type { VaultDatabase } from '../records';

const OUT_OF_SPACE = /no space left|quota exceeded/i;
/** An opening that failed for want of room is not tried again sooner. */
const AGAIN_AFTER_MS = 1_000;

/**
 * Opens the database anew after LevelDB met a full disk, be it in a write or in work of its own, since it takes no write any more
 * until then, not even a delete. It gets all of the reserve. Any other failure is left to a restart, which checks the files.
 */
export class DatabaseRecovery {
  private openings = 0;
  private opening: Promise<boolean> | undefined;
  private notBeforeMs = -Infinity;

  constructor(
    private readonly database: VaultDatabase,
    private readonly disk: DiskSpace,
    private readonly time: MonotonicTime,
  ) {}

  /** How often it was opened anew. */
  get generation(): number {
    return this.openings;
  }

  /** Returns whether the database takes writes again. Where there is too little room to open it, it stays open for reads. */
  async after(error: unknown): Promise<boolean> {
    if (!isOutOfSpace(error)) return false;
    return this.openAnew();
  }

  /** Returns whether the database was opened anew since that generation: what was not found open can be done again. */
  async isOpenedSince(generation: number): Promise<boolean> {
    await this.opening;
    if (this.database.status === 'closed') await this.openAnew();
    return this.openings !== generation;
  }

  private openAnew(): Promise<boolean> {
    this.opening ??= this.tryToOpen().finally(() => (this.opening = undefined));
    return this.opening;
  }

  private async tryToOpen(): Promise<boolean> {
    if (this.time.nowMs() < this.notBeforeMs) return false;
    this.notBeforeMs = this.time.nowMs() + AGAIN_AFTER_MS;
    try {
      const needed = await bytesToOpen(this.database.location);
      if ((await this.disk.makeRoomToOpen(needed)) < needed) return false;
      await this.database.close();
      await this.database.open();
    } catch {
      return false;
    }
    this.notBeforeMs = -Infinity;
    this.openings += 1;
    return true;
  }
}

/** By the system's text, which is all that LevelDB tells. Not `instanceof Error`: see systemCode. */
function isOutOfSpace(error: unknown): boolean {
  const message: unknown =
    typeof error === 'object' && error !== null ? Reflect.get(error, 'message') : undefined;
  return typeof message === 'string' && OUT_OF_SPACE.test(message);
}
