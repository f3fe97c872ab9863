import { DiskSpace } from '../../../src/stores/embedded/disk-space';
import { outcome } from '../../conformance/secret-store.conformance';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';

const MIB = 1024 * 1024;

/** A disk of so many MiB, and what is on it. */
class FakeDisk {
  stored = 0;
  reserved = 0;
  foreign = 0;
  asked = 0;
  /** A quota of the user: less than the file system says. */
  quota = Infinity;

  constructor(private readonly size: number) {}

  readonly freeBytes = async (): Promise<number> => {
    this.asked += 1;
    return this.free;
  };
  readonly storedBytes = async (): Promise<number> => this.stored;
  readonly reserve = {
    bytes: async (): Promise<number> => this.reserved,
    growTo: async (bytes: number): Promise<void> => {
      if (bytes - this.reserved > this.free || this.stored + bytes > this.quota)
        throw Object.assign(new Error('full'), { code: 'EDQUOT' });
      this.reserved = bytes;
    },
    shrinkBy: async (bytes: number, kept: number): Promise<void> => {
      this.reserved = Math.min(this.reserved, Math.max(kept, this.reserved - bytes));
    },
  };

  get free(): number {
    return this.size - this.stored - this.reserved - this.foreign;
  }
}

describe('The space on the disk of the embedded store', () => {
  let time: FixedMonotonicTime;
  let disk: FakeDisk;
  const spaceOn = (mebibytes: number, maxReserveMib = 64): DiskSpace => {
    [time, disk] = [new FixedMonotonicTime(), new FakeDisk(mebibytes * MIB)];
    return new DiskSpace(disk, maxReserveMib * MIB, time);
  };
  const store = async (space: DiskSpace, bytes: number): Promise<string> => {
    const end = await outcome(space.admit(bytes));
    if (end !== 'done') return end;
    disk.stored += bytes;
    space.settled(bytes);
    return end;
  };

  it('is asked for once a second at most, whatever small writes there are', async () => {
    const space = spaceOn(1_000);
    for (let n = 0; n < 500; n++) expect(await store(space, 1_000)).toBe('done');
    for (let n = 0; n < 500; n++) await space.prepareDelete();
    expect(disk.asked).toBeLessThanOrEqual(2);
    time.advance(1_001);
    await space.admit(1);
    expect(disk.asked).toBeLessThanOrEqual(4);
  });

  it('keeps a reserve that grows with what is stored, up to its bound', async () => {
    const space = spaceOn(1_000);
    await space.measure();
    expect(disk.reserved).toBe(12 * MIB);
    disk.stored = 9 * MIB;
    await space.measure();
    expect(disk.reserved).toBe(24 * MIB);
    disk.stored = 500 * MIB;
    await space.measure();
    expect(disk.reserved).toBe(64 * MIB);
  });

  it.each([30, 80, 200])(
    'of %d MiB is never used up, however many writes are admitted at once',
    async (mebibytes) => {
      const space = spaceOn(mebibytes);
      const bytes = MIB / 2;
      const ends = await Promise.all(Array.from({ length: 500 }, () => outcome(space.admit(bytes))));
      const admitted = ends.filter((end) => end === 'done').length;
      expect(admitted).toBeGreaterThan(2);
      expect(new Set(ends)).toEqual(new Set(['done', 'STORE_FULL']));
      // All of them in the log, and once more in a table.
      expect(disk.free - 2 * admitted * bytes).toBeGreaterThan(4 * MIB);
      expect(space.isLow).toBe(true);
    },
  );

  it('is full at once where somebody else took it, once that is seen, and not full once it was given back', async () => {
    const space = spaceOn(100);
    expect(await store(space, 1)).toBe('done');
    disk.foreign = disk.free;
    time.advance(1_001);
    expect(await store(space, 1)).toBe('STORE_FULL');
    expect(await space.figures()).toEqual({ storableBytes: 0 });
    disk.foreign = 0;
    time.advance(101);
    expect(await store(space, 1)).toBe('done');
    expect((await space.figures()).storableBytes).toBeGreaterThan(50 * MIB);
  });

  it('cuts the reserve down for deletes where nothing else is free, but for what the next start needs', async () => {
    const space = spaceOn(100);
    await space.measure();
    disk.foreign = disk.free;
    time.advance(1_001);
    await space.prepareDelete();
    expect([disk.reserved, disk.free]).toEqual([8 * MIB, 4 * MIB]);
    disk.foreign += disk.free;
    await space.freeUp(1_000 * MIB);
    expect(disk.reserved).toBe(6 * MIB);
    disk.foreign += disk.free;
    expect(await space.freeUpToOpen(2 * MIB)).toBe(2 * MIB);
    expect(disk.reserved).toBe(4 * MIB);
  });

  it('refills the reserve first when there is space again', async () => {
    const space = spaceOn(100);
    await space.measure();
    disk.foreign = disk.free;
    await space.freeUp(1_000 * MIB);
    disk.foreign = 100 * MIB - disk.reserved - 9 * MIB;
    await space.measure();
    expect([disk.reserved, space.isLow]).toEqual([8 * MIB, true]);
    disk.foreign = 0;
    await space.measure();
    expect([disk.reserved, space.isLow]).toEqual([12 * MIB, false]);
  });

  it('treats less space than the file system reports as a full disk, and tries again after a while', async () => {
    const space = spaceOn(1_000);
    disk.quota = 5 * MIB;
    expect(await store(space, 1)).toBe('STORE_FULL');
    const { asked } = disk;
    time.advance(50);
    expect(await store(space, 1)).toBe('STORE_FULL');
    expect(disk.asked).toBe(asked);
    disk.quota = Infinity;
    time.advance(5_001);
    expect(await store(space, 1)).toBe('done');
  });

  it.each([0, 16])(
    'gets back what the reserve takes beyond a bound of %d MiB that was lowered',
    async (mebibytes) => {
      const space = spaceOn(64, mebibytes);
      disk.reserved = 64 * MIB;
      await space.measure();
      expect(disk.reserved).toBe(mebibytes * MIB);
      expect(await store(space, MIB / 2)).toBe('done');
    },
  );

  it('has no reserve where that is wanted', async () => {
    const space = spaceOn(2, 0);
    expect(await store(space, MIB / 2)).toBe('done');
    expect(disk.reserved).toBe(0);
  });
});
