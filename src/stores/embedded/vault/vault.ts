import { EmbeddedStoreUnusable } from '../embedded-store-unusable';
import { META_RECORD_KEY, NotAuthentic, type VaultDatabase } from '../records';
import { createVaultDatabase, openVaultDatabase, unusable } from './vault-database';
import { buildFolder, holdsDatabase, removeUnfinished, vaultFolderIn } from './vault-folder';
import {
  encodeMeta,
  makeMeta,
  openMeta,
  parseMeta,
  requireStrong,
  type VaultKeys,
  type VaultMeta,
} from './vault-meta';

export interface VaultOptions {
  /** Made with mode 0700 when missing; the database is its subfolder `vault`. */
  readonly dataDir: string;
  /** At least 32 bytes. Not kept: the caller may overwrite it afterwards. */
  readonly masterKey: Uint8Array;
}

/** An open database and its unwrapped keys. */
export interface Vault {
  readonly database: VaultDatabase;
  readonly keys: VaultKeys;
}

/** Opens the vault, or creates it where there is none. @throws EmbeddedStoreUnusable */
export async function openVault({ dataDir, masterKey }: VaultOptions): Promise<Vault> {
  requireStrong(masterKey);
  const folder = vaultFolderIn(dataDir);
  if (!(await holdsDatabase(folder))) {
    await buildFolder(folder, (path) => createVault(path, masterKey));
  }
  return withDatabase(dataDir, (database, meta) => {
    try {
      return { database, keys: openMeta(meta, masterKey) };
    } catch (error: unknown) {
      if (error instanceof NotAuthentic) throw new EmbeddedStoreUnusable('WRONG_MASTER_KEY', dataDir);
      throw error;
    }
  });
}

/** Opens the existing database and runs `work`; closes the database only when `work` fails. @throws EmbeddedStoreUnusable */
export async function withDatabase<T>(
  dataDir: string,
  work: (database: VaultDatabase, meta: VaultMeta) => T | Promise<T>,
): Promise<T> {
  const folder = vaultFolderIn(dataDir);
  const database = await openVaultDatabase(folder);
  try {
    await removeUnfinished(folder);
    return await work(database, await readMeta(database, dataDir));
  } catch (error: unknown) {
    await database.close();
    throw error instanceof EmbeddedStoreUnusable ? error : unusable(folder, error);
  }
}

async function readMeta(database: VaultDatabase, dataDir: string): Promise<VaultMeta> {
  const record = await database.get(META_RECORD_KEY);
  if (record === undefined) {
    throw new EmbeddedStoreUnusable('FOREIGN', `${dataDir}: its database has no meta record`);
  }
  return parseMeta(record, dataDir);
}

async function createVault(path: string, masterKey: Uint8Array): Promise<void> {
  const database = await createVaultDatabase(path);
  try {
    await database.put(META_RECORD_KEY, encodeMeta(makeMeta(masterKey)), { sync: true });
  } finally {
    await database.close();
  }
}
