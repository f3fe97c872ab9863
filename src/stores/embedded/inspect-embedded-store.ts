import { EmbeddedStoreUnusable } from './embedded-store-unusable';
import { checkLevelDbFiles } from './leveldb-files/check-leveldb-files';
import { DamagedFile, TornTail } from './leveldb-files/log-records';
import { unusable, cutTornTail } from './vault/vault-database';
import { holdsDatabase, vaultFolderIn } from './vault/vault-folder';

export interface Inspection {
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
