import { access, constants } from 'node:fs/promises';
import { ClassicLevel } from 'classic-level';
import { freeUpToOpen } from '../disk-space';
import { EmbeddedStoreUnusable, systemCode } from '../embedded-store-unusable';
import { checkLevelDbFiles } from '../leveldb-files/check-leveldb-files';
import { DamagedFile, TornTail } from '../leveldb-files/log-records';
import type { VaultDatabase } from '../records';
import { cutTornTail } from './torn-tail';

const TORN_HINT =
  'if the power failed while it was written, it was never acknowledged, and npm run inspect-embedded-store puts it aside';
const MEBIBYTE = 1024 * 1024;

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
  return openUnchecked(folder, { createIfMissing: false });
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

export async function createVaultDatabase(folder: string): Promise<VaultDatabase> {
  return openUnchecked(folder, { createIfMissing: true, errorIfExists: true });
}

async function openUnchecked(
  folder: string,
  mode: { readonly createIfMissing: boolean; readonly errorIfExists?: boolean },
): Promise<VaultDatabase> {
  const database: VaultDatabase = new ClassicLevel<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    // Encrypted data does not compress, and the check of the files reads plain blocks.
    compression: false,
    // Smaller than LevelDB's defaults: what it rewrites at once must fit on a disk that is nearly full.
    writeBufferSize: MEBIBYTE,
    maxFileSize: MEBIBYTE,
    ...mode,
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
