import {
  access,
  appendFile,
  constants,
  link,
  mkdtemp,
  open,
  readdir,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { freeBytesAt, ReserveFile } from '../disk-space';
import { EmbeddedStoreUnusable, systemCode } from '../../../errors/operator-errors';
import { checkLevelDbFiles } from '../leveldb-files/check-leveldb-files';
import { DamagedFile, TornTail } from '../leveldb-files/log-records';
import type { VaultDatabase } from '../records';

/** The files of LevelDB that hold data. */
const DATA_FILE = /^(MANIFEST-\d+|\d+\.(log|ldb|sst))$/;
const TORN_HINT =
  'if the power failed while it was written, it was never acknowledged, and npm run inspect-embedded-store puts it aside';
const MEBIBYTE = 1024 * 1024;
/** What opening the database writes beside a table of what is in the logs, and a manifest. */
const OPENING_BYTES = MEBIBYTE / 4;

export function vaultFolderIn(dataDir: string): string {
  return join(dataDir, 'vault');
}

/** Returns whether there is a database to open. @throws EmbeddedStoreUnusable when there is something else */
export async function holdsDatabase(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((error: unknown): string[] => {
    const code = systemCode(error);
    if (code === 'ENOENT') return [];
    // ENOTDIR is a file in the place of this folder or of one above it.
    throw new EmbeddedStoreUnusable('UNWRITABLE', `${folder}: ${code}`);
  });
  if (names.length === 0) return false;
  if (names.includes('CURRENT')) return true;
  // Never let LevelDB make a new database here: it would delete what is left of the old one.
  if (names.some((name) => DATA_FILE.test(name))) {
    throw new EmbeddedStoreUnusable('DAMAGED', `${folder}: its file CURRENT is missing`);
  }
  throw new EmbeddedStoreUnusable('FOREIGN', `${folder}: it has files, but no database`);
}

/**
 * Opens the LevelDB database in a folder that holds one. LevelDB itself would drop damaged parts of its log silently and
 * irreversibly, so the files are checked first and left as they are when something is wrong.
 * @throws EmbeddedStoreUnusable DAMAGED, IN_USE or UNWRITABLE
 */
export async function openVaultDatabase(folder: string): Promise<VaultDatabase> {
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    await checkAndRecover(folder);
    await freeUpToOpen(folder);
  } catch (error: unknown) {
    throw unusable(folder, error);
  }
  return openUnchecked(folder, false);
}

/**
 * Returns how much opening a database may write: a table of what is in its logs, a manifest, and what begins anew. No more than that: a
 * compaction that fails leaves behind what it wrote, and only an opening gives that back, for which a part of the reserve must be left.
 */
export async function bytesToOpen(folder: string): Promise<number> {
  const written = (await readdir(folder)).filter((name) => /\.log$|^MANIFEST-/.test(name));
  const sizes = await Promise.all(written.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, OPENING_BYTES);
}

/** Shrinks the reserve, where the disk has too little space otherwise. */
async function freeUpToOpen(folder: string): Promise<void> {
  const missing = (await bytesToOpen(folder)) - (await freeBytesAt(folder));
  if (missing > 0) await new ReserveFile(folder).shrinkBy(missing, 0);
}

/** Puts a torn end aside: a write that a power cut tore was never acknowledged. Both a log and the manifest may have one. */
async function checkAndRecover(folder: string): Promise<void> {
  try {
    await checkLevelDbFiles(folder);
  } catch (error: unknown) {
    if (!(error instanceof TornTail) || !error.hasHoles) throw error;
    await cutTornTail(folder, error);
    await checkAndRecover(folder);
  }
}

/** Opens the database of a folder as it is, or makes one in an empty folder. @throws EmbeddedStoreUnusable */
export async function openUnchecked(folder: string, isNew: boolean): Promise<VaultDatabase> {
  const database: VaultDatabase = new ClassicLevel<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    // Encrypted data does not compress, and the check of the files reads plain blocks.
    compression: false,
    // Smaller than LevelDB's defaults: what it rewrites at once must fit on a disk that is nearly full.
    writeBufferSize: MEBIBYTE,
    maxFileSize: MEBIBYTE,
    createIfMissing: isNew,
    errorIfExists: isNew,
  });
  try {
    await database.open();
    return database;
  } catch (error: unknown) {
    throw unusable(folder, error);
  }
}

/** Returns the reason for a failure of the file system, of LevelDB or of a check. Nothing but its code is taken from it. */
export function unusable(folder: string, error: unknown): EmbeddedStoreUnusable {
  if (error instanceof TornTail)
    return new EmbeddedStoreUnusable('DAMAGED', `${error.message}; ${TORN_HINT}`);
  if (error instanceof DamagedFile) return new EmbeddedStoreUnusable('DAMAGED', error.message);
  const code = systemCode(error);
  if (code === 'LEVEL_LOCKED') return new EmbeddedStoreUnusable('IN_USE', folder);
  if (code === 'LEVEL_IO_ERROR' || /^E[A-Z]/.test(code)) {
    return new EmbeddedStoreUnusable('UNWRITABLE', `${folder}: ${code}`);
  }
  // LEVEL_CORRUPTION, a record that is not authentic, or no code: LevelDB reports another comparator as an invalid argument.
  return new EmbeddedStoreUnusable('DAMAGED', `${folder}: it cannot be read`);
}

const LOCK = 'LOCK';
const ASIDE = /\.torn(-\d+)?$/;

/**
 * Moves the torn end of a log into a file beside it, which LevelDB leaves alone, and returns its path. No process may have the
 * database open.
 * @throws an error with LevelDB's code where one has, or that of the file system
 */
async function cutTornTail(folder: string, { path, at }: TornTail): Promise<string> {
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

/** Writes a new file durably, with a number behind its name where the name is taken, and returns its path. */
async function writeAside(path: string, tail: Buffer, number = 0): Promise<string> {
  const free = number === 0 ? path : `${path}-${number}`;
  try {
    await writeFile(free, tail, { flag: 'wx', mode: 0o600, flush: true });
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
    await appendFile(join(folder, LOCK), '', { mode: 0o600 });
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

interface Inspection {
  readonly isWhole: boolean;
  /** A report for an operator. It names files and positions, and nothing of what is in them. */
  readonly text: string;
}

const WHOLE = 'Every file of the embedded store is whole.';
const TORN = `All before it is whole, and nothing begins behind it. If the power failed, or the machine stopped, while it was written, it was never
acknowledged: --cut-torn-end puts it aside, and the store opens. If neither happened, restore a backup.`;

/**
 * Compares the files of a store that nobody has open with their checksums, and changes nothing.
 * @param cut puts the last record of a log aside where it alone is not whole
 * @throws EmbeddedStoreUnusable
 */
export async function inspectEmbeddedStore(dataDir: string, cut: boolean): Promise<Inspection> {
  const folder = vaultFolderIn(dataDir);
  try {
    if (!(await holdsDatabase(folder))) throw new EmbeddedStoreUnusable('ABSENT', dataDir);
    return await inspectFiles(folder, cut);
  } catch (error: unknown) {
    throw error instanceof EmbeddedStoreUnusable ? error : unusable(folder, error);
  }
}

async function inspectFiles(folder: string, cut: boolean): Promise<Inspection> {
  try {
    await checkLevelDbFiles(folder);
    return { isWhole: true, text: WHOLE };
  } catch (error: unknown) {
    if (!(error instanceof DamagedFile)) throw error;
    if (!(error instanceof TornTail)) return { isWhole: false, text: `${error.message}. Restore a backup.` };
    const where = `${error.message}; it begins at byte ${error.at}${error.hasHoles ? ', and parts of it were never written' : ''}.`;
    if (!cut) return { isWhole: false, text: `${where}\n${TORN}` };
    const aside = await cutTornTail(folder, error);
    const rest = await inspectFiles(folder, cut);
    return { isWhole: rest.isWhole, text: `${where}\nIt is in ${aside} now.\n${rest.text}` };
  }
}
