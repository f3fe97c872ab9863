import { link, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import type { TornTail } from '../leveldb-files/log-records';
import { systemCode } from '../embedded-store-unusable';
import { vaultFolderIn } from './vault-folder';

const LOCK = 'LOCK';
const ASIDE = /\.torn(-\d+)?$/;

/**
 * Moves what is torn at the end of a log into a file beside it, which LevelDB leaves alone, and tells its path. Nobody may have the
 * database open.
 * @throws an error with LevelDB's code where somebody has, or that of the file system
 */
export async function cutTornTail(folder: string, { path, at }: TornTail): Promise<string> {
  return whileLocked(folder, async () => {
    const file = await open(path, 'r+');
    try {
      const { size } = await file.stat();
      const tail = Buffer.alloc(size - at);
      await file.read(tail, 0, tail.length, at);
      const aside = await writeAside(`${path}.torn`, tail);
      await file.truncate(at);
      await file.sync();
      return aside;
    } finally {
      await file.close();
    }
  });
}

/** The names of the files that were put aside and are still there. */
export async function tornTailsIn(dataDir: string): Promise<readonly string[]> {
  return (await readdir(vaultFolderIn(dataDir))).filter((name) => ASIDE.test(name)).sort();
}

/** Never over one that is there. */
async function writeAside(path: string, tail: Buffer, turn = 0): Promise<string> {
  const free = turn === 0 ? path : `${path}-${turn}`;
  try {
    const aside = await open(free, 'wx', 0o600);
    try {
      await aside.writeFile(tail);
      await aside.sync();
    } finally {
      await aside.close();
    }
    return free;
  } catch (error: unknown) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return writeAside(path, tail, turn + 1);
  }
}

/**
 * Holds the database's lock without opening it, which would drop what is torn: LevelDB locks the file itself, so that another database
 * with a link to it shares its lock.
 */
async function whileLocked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const beside = await mkdtemp(`${folder}.new-lock-`);
  try {
    const lock = await open(join(folder, LOCK), 'a', 0o600);
    await lock.close();
    await link(join(folder, LOCK), join(beside, LOCK));

    const holder = new ClassicLevel(beside);
    await holder.open();
    try {
      return await work();
    } finally {
      await holder.close();
    }
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}
