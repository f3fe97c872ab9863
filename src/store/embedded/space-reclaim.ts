import type { MonotonicTime } from '../../clock/monotonic-time';
import type { DiskSpace } from './disk-space';
import { scopeRangeOf } from './record-keys';
import type { VaultDatabase } from './vault-database';

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
export class SpaceReclaim {
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
