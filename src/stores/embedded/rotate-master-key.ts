import { workspaceContext } from './data-keys';
import { EmbeddedStoreUnusable } from './embedded-store-unusable';
import {
  META_RECORD_KEY,
  NotAuthentic,
  recordBatches,
  type VaultDatabase,
  WORKSPACE_RECORDS,
  WRAPPED_RECORDS,
} from './records';
import { withDatabase, type VaultOptions } from './vault/vault';
import { holdsDatabase, vaultFolderIn } from './vault/vault-folder';
import {
  encodeMeta,
  openMeta,
  requireStrong,
  rewrapKey,
  rewrapMeta,
  type VaultKeys,
  type VaultMeta,
} from './vault/vault-meta';

export interface RotationOptions extends VaultOptions {
  readonly newMasterKey: Uint8Array;
}

/** `already-rotated`: the new key opened the store, as after a rotation that was interrupted at its end. */
export type RotationResult = 'rotated' | 'already-rotated';

/**
 * Wraps the index key and every data key anew, in one synced batch: whenever it is interrupted, either the old or the
 * new key opens the store. Then drops the old wrapped keys from the files. Secrets are not encrypted again.
 * @throws EmbeddedStoreUnusable and nothing was changed, also when a single data key cannot be unwrapped
 */
export async function rotateMasterKey(options: RotationOptions): Promise<RotationResult> {
  const { dataDir, masterKey, newMasterKey } = options;
  requireStrong(masterKey);
  requireStrong(newMasterKey);
  if (!(await holdsDatabase(vaultFolderIn(dataDir)))) throw new EmbeddedStoreUnusable('ABSENT', dataDir);
  return withDatabase(dataDir, async (database, meta) => {
    const isDone = tryToOpen(meta, newMasterKey) !== undefined;
    if (!isDone) await rewrapAll(database, meta, options);
    await database.compactRange(WRAPPED_RECORDS.start, WRAPPED_RECORDS.end);
    await database.close();
    return isDone ? 'already-rotated' : 'rotated';
  });
}

async function rewrapAll(database: VaultDatabase, meta: VaultMeta, options: RotationOptions): Promise<void> {
  const { dataDir, masterKey, newMasterKey } = options;
  const old = tryToOpen(meta, masterKey);
  if (old === undefined) {
    const detail = `${dataDir}: neither the old nor the new key opens it`;
    throw new EmbeddedStoreUnusable('WRONG_MASTER_KEY', detail);
  }
  const newMeta = rewrapMeta(meta, masterKey, newMasterKey);
  const { wrappingKey } = openMeta(newMeta, newMasterKey);
  // Collected in the database's own batch, some 200 bytes for each workspace, and not as objects beside it.
  const batch = database.batch().put(META_RECORD_KEY, encodeMeta(newMeta));
  for await (const records of recordBatches(database, WORKSPACE_RECORDS)) {
    for (const [key, wrapped] of records) {
      const associatedData = workspaceContext(key);
      const from = { wrappingKey: old.wrappingKey, associatedData };
      batch.put(key, rewrapKey(wrapped, from, { wrappingKey, associatedData }));
    }
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
