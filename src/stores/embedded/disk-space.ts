import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Mutex } from 'async-mutex';
import type { MonotonicTime } from '../../time/clock';
import { StoreFull } from '../../errors/store-errors';
import { ALL_RECORDS } from './records';
import { ReserveFile } from './reserve-file';
import type { VaultDatabase } from './records';

export interface DiskFigures {
  /** What may be stored before creates and updates are refused; 0: they are. */
  readonly storableBytes: number;
}

/** Whoever wants to know how full the disk is. */
export interface DiskObserver {
  opened(figures: () => Promise<DiskFigures>): void;
}

const MEBIBYTE = 1024 * 1024;
export const DEFAULT_MAX_RESERVE_BYTES = 64 * MEBIBYTE;
/** The reserve of a store with nothing in it, and by how much it grows with what is stored. */
const LEAST_RESERVE_BYTES = 12 * MEBIBYTE;
const STEP_BYTES = 4 * MEBIBYTE;
/** Free before a delete: for the log, and for a table of what was in it. */
const DELETE_BYTES = 4 * MEBIBYTE;
/** What an opening writes beside a table of what is in the logs, and a manifest. */
const OPENING_BYTES = MEBIBYTE / 4;
/** The part of the reserve that is kept for the next opening: for that, and two logs. */
const KEPT_TO_OPEN_BYTES = 6 * MEBIBYTE;

/** The largest secret needs less. */
const LOW_BYTES = 2 * MEBIBYTE;

/** A measurement is believed for so long, or until so much was written; one by which something is refused for less. */
const BELIEVED_MS = 1_000;
const BELIEVED_BYTES = 2 * MEBIBYTE;
const REFUSED_MS = 100;
/** Not tried again for so long where there was less room than the file system said, as under a quota of its user. */
const DISTRUSTED_MS = 5_000;

/** Where the figures come from. */
interface DiskSources {
  readonly freeBytes: () => Promise<number>;
  /** What the database takes of the disk. */
  readonly storedBytes: () => Promise<number>;
  /** See ReserveFile. */
  readonly reserve: {
    bytes(): Promise<number>;
    growTo(bytes: number): Promise<void>;
    shrinkBy(bytes: number, keptBytes: number): Promise<void>;
  };
}

/**
 * Keeps a reserve of the disk in a file, and some more of it free. LevelDB needs room to be opened, to delete, and to give back
 * what was deleted, as it writes tables anew before it deletes the old ones. What would use the reserve up is refused; deletes
 * are not, and cut the file down where nothing else is left.
 */
export class DiskSpace {
  private readonly changes = new Mutex();
  private free = 0;
  private stored = 0;
  private reserved = 0;
  private measuredAtMs = -Infinity;
  private measuring: Promise<void> | undefined;
  private distrustedUntilMs = -Infinity;
  /** Admitted and not settled yet; settled since the last measurement. */
  private pendingBytes = 0;
  private writtenBytes = 0;

  constructor(
    private readonly sources: DiskSources,
    private readonly maxReserveBytes: number,
    private readonly time: MonotonicTime,
  ) {}

  /** Whether creates and updates are refused, those of large secrets at least, as last measured. */
  get isLow(): boolean {
    return this.storable < LOW_BYTES;
  }

  /** Before a write that adds so many bytes, which are called settled afterwards. @throws StoreFull */
  async admit(bytes: number): Promise<void> {
    if (this.isOlderThan(BELIEVED_MS) || this.writtenBytes > BELIEVED_BYTES) await this.measure();
    if (this.storable < 2 * bytes && this.isOlderThan(REFUSED_MS)) await this.measure();
    if (this.storable < 2 * bytes) throw new StoreFull();
    this.pendingBytes += bytes;
  }

  settled(bytes: number): void {
    this.pendingBytes -= bytes;
    this.writtenBytes += bytes;
  }

  /** Before a write that is never refused. */
  async prepareDelete(): Promise<void> {
    if (this.isOlderThan(BELIEVED_MS)) await this.measure();
    if (this.free < DELETE_BYTES) await this.makeRoom(DELETE_BYTES);
  }

  /** Cuts the reserve down as far as it takes to have so many bytes free, but for what is kept of it. Returns what is free then. */
  async makeRoom(bytes: number, keptBytes = KEPT_TO_OPEN_BYTES): Promise<number> {
    return this.changes.runExclusive(async () => {
      await this.look();
      if (this.free >= bytes || this.reserved <= keptBytes) return this.free;
      await this.sources.reserve.shrinkBy(bytes - this.free, keptBytes);
      await this.look();
      return this.free;
    });
  }

  /** Before the database is opened anew: all that is there for compactions, and more only where it takes that. */
  async makeRoomToOpen(neededBytes: number): Promise<number> {
    const free = await this.makeRoom(this.wantedReserve);
    return free < neededBytes ? this.makeRoom(neededBytes, 0) : free;
  }

  /** Looks anew, and makes the reserve as large as it should be, as far as there is room. */
  measure(): Promise<void> {
    this.measuring ??= this.changes
      .runExclusive(() => this.lookAndGrow())
      .finally(() => (this.measuring = undefined));
    return this.measuring;
  }

  /** There was less room than the file system says. */
  distrust(): void {
    this.distrustedUntilMs = this.time.nowMs() + DISTRUSTED_MS;
  }

  async figures(): Promise<DiskFigures> {
    if (this.isOlderThan(BELIEVED_MS)) await this.measure();
    return { storableBytes: Math.max(0, this.storable) };
  }

  /** What one step of a compaction may need. */
  get compactionBytes(): number {
    return this.wantedReserve;
  }

  private async lookAndGrow(): Promise<void> {
    await this.look();
    const missingToOpen = Math.min(KEPT_TO_OPEN_BYTES, this.wantedReserve) - this.reserved;
    const growth = Math.max(
      Math.min(this.missingReserve, this.free - this.headroom),
      Math.min(missingToOpen, this.free - DELETE_BYTES),
    );
    if (growth <= 0 || this.isDistrusted) return;
    try {
      await this.sources.reserve.growTo(this.reserved + growth);
    } catch {
      this.distrust();
    }
    await this.look();
  }

  private async look(): Promise<void> {
    this.writtenBytes = 0;
    [this.free, this.stored, this.reserved] = await Promise.all([
      this.sources.freeBytes(),
      this.sources.storedBytes(),
      this.sources.reserve.bytes(),
    ]);
    this.measuredAtMs = this.time.nowMs();
  }

  private isOlderThan(ms: number): boolean {
    return this.time.nowMs() - this.measuredAtMs > ms;
  }

  private get isDistrusted(): boolean {
    return this.time.nowMs() < this.distrustedUntilMs;
  }

  /** What is written goes to the log first, and then once more to a table. */
  private get storable(): number {
    if (this.isDistrusted) return -1;
    return this.free - 2 * (this.pendingBytes + this.writtenBytes) - this.missingReserve - this.headroom;
  }

  private get missingReserve(): number {
    return Math.max(0, this.wantedReserve - this.reserved);
  }

  /** No more than the database has can be written anew. */
  private get wantedReserve(): number {
    const steps = Math.ceil(this.stored / STEP_BYTES);
    return Math.min(this.maxReserveBytes, LEAST_RESERVE_BYTES + steps * STEP_BYTES);
  }

  /** Kept free beside the reserve, for LevelDB's own work while it takes creates. */
  private get headroom(): number {
    return Math.min(this.wantedReserve, this.wantedReserve / 4 + STEP_BYTES);
  }
}

/** Looks for the first time, and makes the reserve of a new database. */
export async function openDiskSpace(
  folder: string,
  database: VaultDatabase,
  maxReserveBytes: number,
  time: MonotonicTime,
): Promise<DiskSpace> {
  let stored = 0;
  const sources = {
    freeBytes: () => freeBytesAt(folder),
    storedBytes: async () => {
      // While it is opened anew, what it was before.
      if (database.status === 'open')
        stored = await database.approximateSize(ALL_RECORDS.gte, ALL_RECORDS.lt).catch(() => stored);
      return stored;
    },
    reserve: new ReserveFile(folder),
  };
  const disk = new DiskSpace(sources, maxReserveBytes, time);
  await disk.measure();
  return disk;
}

/**
 * What opening a database may write: a table of what is in its logs, a manifest, and what begins anew. No more than that: a compaction
 * that fails leaves behind what it wrote, and only an opening gives that back, for which a part of the reserve must be left.
 */
export async function bytesToOpen(folder: string): Promise<number> {
  const written = (await readdir(folder)).filter((name) => /\.log$|^MANIFEST-/.test(name));
  const sizes = await Promise.all(written.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, OPENING_BYTES);
}

/** Before a database is opened: cuts its reserve down where there is no other room. */
export async function makeRoomToOpen(folder: string): Promise<void> {
  const missing = (await bytesToOpen(folder)) - (await freeBytesAt(folder));
  if (missing > 0) await new ReserveFile(folder).shrinkBy(missing, 0);
}

async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
