import { access, constants } from 'node:fs/promises';
import { ClassicLevel } from 'classic-level';
import { makeRoomToOpen } from './disk-space';
import { EmbeddedStoreUnusable } from './embedded-store-unusable';
import { checkLevelDbFiles } from './leveldb-files/check-leveldb-files';
import { DamagedFile } from './leveldb-files/damaged-file';
import { systemCode } from './system-code';

const MEBIBYTE = 1024 * 1024;

export type VaultDatabase = ClassicLevel<Buffer, Buffer>;

/**
 * Opens the LevelDB database in a folder that holds one. LevelDB itself would drop damaged parts of its log silently and
 * for good, so the files are checked first and left as they are when something is wrong.
 * @throws EmbeddedStoreUnusable DAMAGED, IN_USE or UNWRITABLE
 */
export async function openVaultDatabase(folder: string): Promise<VaultDatabase> {
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    await checkLevelDbFiles(folder);
    await makeRoomToOpen(folder);
  } catch (error: unknown) {
    throw unusable(folder, error);
  }
  return openUnchecked(folder, { createIfMissing: false });
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
    // What is encrypted does not compress; and plain blocks are what the check of the files reads.
    compression: false,
    // Smaller than LevelDB's own: what it writes anew at once must find room on a disk that is nearly full.
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

/** What a failure of the file system, of LevelDB or of a check means; only its code is kept. */
export function unusable(folder: string, error: unknown): EmbeddedStoreUnusable {
  if (error instanceof DamagedFile) return new EmbeddedStoreUnusable('DAMAGED', error.message);
  const code = systemCode(error);
  if (code === 'LEVEL_LOCKED') return new EmbeddedStoreUnusable('IN_USE', folder);
  if (code === 'LEVEL_IO_ERROR' || /^E[A-Z]/.test(code)) {
    return new EmbeddedStoreUnusable('UNWRITABLE', `${folder}: ${code}`);
  }
  // LEVEL_CORRUPTION, a record that is not authentic, or no code: LevelDB calls another comparator an invalid argument.
  return new EmbeddedStoreUnusable('DAMAGED', `${folder}: it cannot be read`);
}
