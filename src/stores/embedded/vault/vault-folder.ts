import { mkdir, mkdtemp, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { EmbeddedStoreUnusable, systemCode } from '../embedded-store-unusable';

/** The files of LevelDB that hold data. */
const DATA_FILE = /^(MANIFEST-\d+|\d+\.(log|ldb|sst))$/;
const UNFINISHED = '.new-';

export function vaultFolderIn(dataDir: string): string {
  return join(dataDir, 'vault');
}

/** Returns whether there is a database to open. @throws EmbeddedStoreUnusable when there is something else */
export async function holdsDatabase(folder: string): Promise<boolean> {
  const names = await namesIn(folder);
  if (names.length === 0) return false;
  if (names.includes('CURRENT')) return true;
  // Never let LevelDB make a new database here: it would delete what is left of the old one.
  if (names.some((name) => DATA_FILE.test(name))) {
    throw new EmbeddedStoreUnusable('DAMAGED', `${folder}: its file CURRENT is missing`);
  }
  throw new EmbeddedStoreUnusable('FOREIGN', `${folder}: it has files, but no database`);
}

/**
 * Runs `build` on an empty folder beside `folder`, which then takes the name of `folder` in one step: a start that is
 * interrupted leaves no half-made database. When another process was faster, its folder stays.
 */
export async function buildFolder(folder: string, build: (path: string) => Promise<void>): Promise<void> {
  const parent = dirname(folder);
  try {
    await makeFolder(parent);
    const unfinished = await mkdtemp(folder + UNFINISHED);
    await build(unfinished);
    await syncFolder(unfinished);
    await rename(unfinished, folder);
    await syncFolder(parent);
  } catch (error: unknown) {
    if (error instanceof EmbeddedStoreUnusable) throw error;
    const code = systemCode(error);
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return;
    throw new EmbeddedStoreUnusable('UNWRITABLE', `${parent}: ${code}`);
  }
}

/** Removes the folders that interrupted starts left. Only the process that holds the database's lock may call it. */
export async function removeUnfinished(folder: string): Promise<void> {
  const parent = dirname(folder);
  const unfinished = (await readdir(parent)).filter((name) => name.startsWith(basename(folder) + UNFINISHED));
  for (const name of unfinished) await rm(join(parent, name), { recursive: true, force: true });
}

/** Makes a folder with its parents. Node's recursive mkdir never ends where the system answers ENOENT to the last step, as /proc does. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error: unknown) {
    const code = systemCode(error);
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path, { mode: 0o700 });
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error: unknown) {
    const code = systemCode(error);
    if (code === 'ENOENT') return [];
    // ENOTDIR is a file in the place of this folder or of one above it.
    throw new EmbeddedStoreUnusable('UNWRITABLE', `${folder}: ${code}`);
  }
}

/** A new name in a folder survives a power cut only once the folder is synced. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
