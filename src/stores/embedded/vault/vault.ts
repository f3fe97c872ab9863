import type { KeyObject } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { EmbeddedStoreUnusable, systemCode } from '../../../errors/operator-errors';
import {
  META_RECORD_KEY,
  NotAuthentic,
  recordBatches,
  type VaultDatabase,
  WORKSPACE_RECORDS,
  WRAPPED_RECORDS,
} from '../records';
import { workspaceContext } from '../workspace-records';
import { holdsDatabase, openUnchecked, openVaultDatabase, unusable, vaultFolderIn } from './vault-database';
import {
  encodeMeta,
  makeMeta,
  openMeta,
  parseMeta,
  requireStrong,
  rewrapKey,
  rewrapMeta,
  type VaultKeys,
  type VaultMeta,
} from './vault-meta';

/** The ending of a folder in which a start makes a database. */
const UNFINISHED = '.new-';

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
  if (!(await holdsDatabase(folder))) await buildFolder(folder, (path) => createVault(path, masterKey));
  return withDatabase(dataDir, (database, meta) => {
    const keys = tryToOpen(meta, masterKey);
    if (keys === undefined) throw new EmbeddedStoreUnusable('WRONG_MASTER_KEY', dataDir);
    return { database, keys };
  });
}

/** Opens the existing database and runs `work`; closes the database only when `work` fails. @throws EmbeddedStoreUnusable */
async function withDatabase<T>(
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
  const database = await openUnchecked(path, true);
  try {
    await database.put(META_RECORD_KEY, encodeMeta(makeMeta(masterKey)), { sync: true });
  } finally {
    await database.close();
  }
}

/**
 * Runs `build` on an empty folder beside `folder`, which then takes the name of `folder` in one step: a start that is
 * interrupted leaves no half-made database. When another process was faster, its folder stays.
 */
async function buildFolder(folder: string, build: (path: string) => Promise<void>): Promise<void> {
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
async function removeUnfinished(folder: string): Promise<void> {
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

/** A new name in a folder survives a power cut only once the folder is synced. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** `already-rotated`: the new key opened the store, as after a rotation that was interrupted at its end. */
export type RotationResult = 'rotated' | 'already-rotated';

/**
 * Wraps the index key and every data key anew, in one synced batch: whenever it is interrupted, either the old or the
 * new key opens the store. Then drops the old wrapped keys from the files. Secrets are not encrypted again.
 * @throws EmbeddedStoreUnusable and nothing was changed, also when a single data key cannot be unwrapped
 */
export async function rotateMasterKey({
  dataDir,
  masterKey,
  newMasterKey,
}: VaultOptions & { readonly newMasterKey: Uint8Array }): Promise<RotationResult> {
  requireStrong(masterKey);
  requireStrong(newMasterKey);
  if (!(await holdsDatabase(vaultFolderIn(dataDir)))) throw new EmbeddedStoreUnusable('ABSENT', dataDir);
  return withDatabase(dataDir, async (database, meta) => {
    const isDone = tryToOpen(meta, newMasterKey) !== undefined;
    if (!isDone) {
      const old = tryToOpen(meta, masterKey);
      const detail = `${dataDir}: neither the old nor the new key opens it`;
      if (old === undefined) throw new EmbeddedStoreUnusable('WRONG_MASTER_KEY', detail);
      await rewrapAll(database, meta, old.wrappingKey, newMasterKey);
    }
    await database.compactRange(WRAPPED_RECORDS.start, WRAPPED_RECORDS.end);
    await database.close();
    return isDone ? 'already-rotated' : 'rotated';
  });
}

async function rewrapAll(
  database: VaultDatabase,
  meta: VaultMeta,
  oldKey: KeyObject,
  newMasterKey: Uint8Array,
): Promise<void> {
  const newMeta = rewrapMeta(meta, oldKey, newMasterKey);
  const { wrappingKey } = openMeta(newMeta, newMasterKey);
  // Collected in the database's own batch, some 200 bytes for each workspace, and not as objects beside it.
  const batch = database.batch().put(META_RECORD_KEY, encodeMeta(newMeta));
  for await (const records of recordBatches(database, WORKSPACE_RECORDS)) {
    for (const [key, wrapped] of records)
      batch.put(key, rewrapKey(wrapped, oldKey, wrappingKey, workspaceContext(key)));
  }
  await batch.write({ sync: true });
}

/** Returns undefined where this master key does not open the store. */
function tryToOpen(meta: VaultMeta, masterKey: Uint8Array): VaultKeys | undefined {
  try {
    return openMeta(meta, masterKey);
  } catch (error: unknown) {
    if (error instanceof NotAuthentic) return undefined;
    throw error;
  }
}
