import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CHUNK = Buffer.alloc(64 * 1024);

/** A small file system that a test can fill. */
export class SmallDisk {
  readonly path = mkdtempSync(join(tmpdir(), 'small-disk-'));
  private readonly filler = join(this.path, 'of-somebody-else');

  constructor(mebibytes: number) {
    const why = mounted(this.path, mebibytes);
    if (why === undefined) return;
    rmSync(this.path, { recursive: true });
    throw new Error(why);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Fills the disk, except for so much. */
  fill(leave = 0): void {
    const file = openSync(this.filler, 'a');
    try {
      while (this.freeBytes > leave)
        writeSync(file, CHUNK, 0, Math.min(CHUNK.length, this.freeBytes - leave));
    } finally {
      closeSync(file);
    }
  }

  /** Frees the disk again. */
  clear(): void {
    rmSync(this.filler, { force: true });
  }

  remove(): void {
    spawnSync('umount', ['--lazy', this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

function mounted(path: string, mebibytes: number): string | undefined {
  const options = ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=755`, 'tmpfs', path];
  return spawnSync('mount', options, { stdio: 'ignore' }).status === 0
    ? undefined
    : 'no file system can be mounted here';
}

/** Returns why there can be none; undefined where there can. */
export function whyNoSmallDisk(): string | undefined {
  try {
    new SmallDisk(1).remove();
    return undefined;
  } catch (error: unknown) {
    return (error as Error).message;
  }
}
