import { randomBytes } from 'node:crypto';
import { open, rm, stat, statfs, truncate } from 'node:fs/promises';
import { Mutex } from 'async-mutex';
import type { MonotonicTime } from '../../time/clock';
import { StoreFull } from '../../errors/store-errors';
import { systemCode } from '../../errors/operator-errors';

export interface DiskFigures {
  /** Bytes that may be stored before creates and updates are refused; 0 while they are refused. */
  readonly storableBytes: number;
}

/** Observes how full the disk is. */
export interface DiskObserver {
  opened(figures: () => Promise<DiskFigures>): void;
}

const MEBIBYTE = 1024 * 1024;
export const DEFAULT_MAX_RESERVE_BYTES = 64 * MEBIBYTE;
/** The reserve of an empty store, and the steps by which it grows with what is stored. */
const MIN_RESERVE_BYTES = 12 * MEBIBYTE;
const RESERVE_STEP_BYTES = 4 * MEBIBYTE;
/** Free before a delete: for the log, and for a table of what was in it. */
const DELETE_BYTES = 4 * MEBIBYTE;
/** The part of the reserve that is kept for the next opening: for what that writes, and two logs. */
const RESERVED_TO_OPEN_BYTES = 6 * MEBIBYTE;
/** With less storable space than this, large secrets are refused; the largest secret needs less. */
const LOW_BYTES = 2 * MEBIBYTE;

/** A measurement is valid for so long, or until so much was written. */
const MEASUREMENT_TTL_MS = 1_000;
const MAX_UNMEASURED_BYTES = 2 * MEBIBYTE;
/** A measurement by which a write would be refused is valid for less. */
const REFUSAL_TTL_MS = 100;
/** Pause after the disk had less space than the file system reported, as under a quota of the user. */
const SHORTAGE_MS = 5_000;

/** The reserve grows by random bytes of this length, more than file systems compress at once, and shrinks by whole blocks, which are what file systems give back. */
const CHUNK_BYTES = 256 * 1024;
const BLOCK_BYTES = 64 * 1024;

interface DiskSources {
  readonly freeBytes: () => Promise<number>;
  /** Bytes of disk that the database takes. */
  readonly storedBytes: () => Promise<number>;
  readonly reserve: Pick<ReserveFile, 'bytes' | 'growTo' | 'shrinkBy'>;
}

/**
 * Keeps a reserve of the disk in a file, and some more of it free. LevelDB needs space to be opened, to delete, and to give back
 * what was deleted, as it writes tables anew before it deletes the old ones. A write that would use up the reserve is refused; deletes
 * are not refused, and shrink the reserve where nothing else is left.
 */
export class DiskSpace {
  private readonly changes = new Mutex();
  private free = 0;
  private stored = 0;
  private reserved = 0;
  private measuredAtMs = -Infinity;
  private measuring: Promise<void> | undefined;
  private shortageUntilMs = -Infinity;
  /** Admitted and not settled yet. */
  private pendingBytes = 0;
  /** Settled since the last measurement. */
  private writtenBytes = 0;

  constructor(
    private readonly sources: DiskSources,
    private readonly maxReserveBytes: number,
    private readonly time: MonotonicTime,
  ) {}

  /** Whether creates and updates, at least those of large secrets, are refused as of the last measurement. */
  get isLow(): boolean {
    return this.storable < LOW_BYTES;
  }

  /** Admits a write that adds so many bytes; call settled() with them afterwards. @throws StoreFull */
  async admit(bytes: number): Promise<void> {
    if (this.isOlderThan(MEASUREMENT_TTL_MS) || this.writtenBytes > MAX_UNMEASURED_BYTES)
      await this.measure();
    if (this.storable < 2 * bytes && this.isOlderThan(REFUSAL_TTL_MS)) await this.measure();
    if (this.storable < 2 * bytes) throw new StoreFull();
    this.pendingBytes += bytes;
  }

  settled(bytes: number): void {
    this.pendingBytes -= bytes;
    this.writtenBytes += bytes;
  }

  /** Makes sure that there is space for a delete, which is never refused. */
  async prepareDelete(): Promise<void> {
    if (this.isOlderThan(MEASUREMENT_TTL_MS)) await this.measure();
    if (this.free < DELETE_BYTES) await this.freeUp(DELETE_BYTES);
  }

  /** Shrinks the reserve until `bytes` are free, but not below `keptBytes`. Returns how many bytes are free then. */
  async freeUp(bytes: number, keptBytes = RESERVED_TO_OPEN_BYTES): Promise<number> {
    return this.changes.runExclusive(async () => {
      await this.readSizes();
      if (this.free < bytes && this.reserved > keptBytes) {
        await this.sources.reserve.shrinkBy(bytes - this.free, keptBytes);
        await this.readSizes();
      }
      return this.free;
    });
  }

  /** Frees what compactions may need before the database is reopened; uses up all of the reserve only where opening takes that. */
  async freeUpToOpen(neededBytes: number): Promise<number> {
    const free = await this.freeUp(this.wantedReserve);
    return free < neededBytes ? this.freeUp(neededBytes, 0) : free;
  }

  /** Measures the disk, cuts the reserve to what it may be, and grows it to the size that it should have, as far as there is space. */
  measure(): Promise<void> {
    this.measuring ??= this.changes
      .runExclusive(() => this.measureAndAdjust())
      .finally(() => (this.measuring = undefined));
    return this.measuring;
  }

  /** As much as one step of a compaction may need. That writes no more than the database holds, so the reserve grows with it. */
  get wantedReserve(): number {
    const steps = Math.ceil(this.stored / RESERVE_STEP_BYTES);
    return Math.min(this.maxReserveBytes, MIN_RESERVE_BYTES + steps * RESERVE_STEP_BYTES);
  }

  /** Notes that a write failed for want of space although the file system reported enough; writes pause for a few seconds. */
  noteShortage(): void {
    this.shortageUntilMs = this.time.nowMs() + SHORTAGE_MS;
  }

  async figures(): Promise<DiskFigures> {
    if (this.isOlderThan(MEASUREMENT_TTL_MS)) await this.measure();
    return { storableBytes: Math.max(0, this.storable) };
  }

  private async measureAndAdjust(): Promise<void> {
    await this.readSizes();
    if (this.reserved > this.maxReserveBytes) {
      await this.sources.reserve.shrinkBy(this.reserved - this.maxReserveBytes, this.maxReserveBytes);
      await this.readSizes();
    }
    const missingToOpen = Math.min(RESERVED_TO_OPEN_BYTES, this.wantedReserve) - this.reserved;
    const growth = Math.max(
      Math.min(this.missingReserve, this.free - this.headroom),
      Math.min(missingToOpen, this.free - DELETE_BYTES),
    );
    if (growth <= 0 || this.hasShortage) return;
    await this.sources.reserve.growTo(this.reserved + growth).catch(() => this.noteShortage());
    await this.readSizes();
  }

  private async readSizes(): Promise<void> {
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

  private get hasShortage(): boolean {
    return this.time.nowMs() < this.shortageUntilMs;
  }

  /** Bytes are counted twice: they are written to the log first, and then to a table. */
  private get storable(): number {
    if (this.hasShortage) return -1;
    return this.free - 2 * (this.pendingBytes + this.writtenBytes) - this.missingReserve - this.headroom;
  }

  private get missingReserve(): number {
    return Math.max(0, this.wantedReserve - this.reserved);
  }

  /** Kept free beside the reserve, for LevelDB's own work while it takes creates. */
  private get headroom(): number {
    return Math.min(this.wantedReserve, this.wantedReserve / 4 + RESERVE_STEP_BYTES);
  }
}

export async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/**
 * A file beside the database that only takes up space. On a full disk it is shrunk, so that the database can be opened and
 * deletes can be written although others took all the rest.
 */
export class ReserveFile {
  private readonly path: string;

  constructor(vaultFolder: string) {
    this.path = `${vaultFolder}.reserve`;
  }

  async bytes(): Promise<number> {
    try {
      return (await stat(this.path)).size;
    } catch (error: unknown) {
      if (systemCode(error) === 'ENOENT') return 0;
      throw error;
    }
  }

  /** Grows the file with random bytes, since a file system may compress others. Restores its old size when they do not fit. */
  async growTo(bytes: number): Promise<void> {
    const before = await this.bytes();
    const chunk = randomBytes(CHUNK_BYTES);
    const file = await open(this.path, 'a', 0o600);
    try {
      // A file system that has space for a part of a chunk writes that part.
      for (let size = before; size < bytes;)
        size += (await file.write(chunk, 0, Math.min(CHUNK_BYTES, bytes - size))).bytesWritten;
    } catch (error: unknown) {
      await file.truncate(before);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Shrinks the file by at least `bytes`, but not below `keptBytes`. */
  async shrinkBy(bytes: number, keptBytes: number): Promise<void> {
    const before = await this.bytes();
    const after = Math.max(keptBytes, Math.floor((before - bytes) / BLOCK_BYTES) * BLOCK_BYTES);
    if (after >= before) return;
    if (after === 0) await rm(this.path, { force: true });
    else await truncate(this.path, after);
  }
}
