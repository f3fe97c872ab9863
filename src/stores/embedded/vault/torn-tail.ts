import { link, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import type { TornTail } from '../leveldb-files/log-records';
import { systemCode } from '../embedded-store-unusable';
import { vaultFolderIn } from './vault-folder';

const LOCK = 'LOCK';
const ASIDE = /\.torn(-\d+)?$/;

/**
 * Moves the torn end of a log into a file beside it, which LevelDB leaves alone, and returns its path. No process may have the
 * database open.
 * @throws an error with LevelDB's code where one has, or that of the file system
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

/** Returns the names of the files with torn ends that are still there. */
export async function tornTailsIn(dataDir: string): Promise<readonly string[]> {
  return (await readdir(vaultFolderIn(dataDir))).filter((name) => ASIDE.test(name)).sort();
}

/** Writes a new file, with a number behind its name where the name is taken, and returns its path. */
async function writeAside(path: string, tail: Buffer, number = 0): Promise<string> {
  const free = number === 0 ? path : `${path}-${number}`;
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
    return writeAside(path, tail, number + 1);
  }
}

/**
 * Holds the database's lock without opening it, since opening would drop the torn end. LevelDB locks the file itself, so another
 * database with a hard link to it shares its lock.
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
