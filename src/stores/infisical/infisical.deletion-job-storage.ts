import { SecretAlreadyExists, SecretNotFound, StoreUnavailable } from '../../errors/store-errors';
import { UNATTENDED } from '../../secrets/call-context';
import type { SecretScope } from '../../secrets/secret';
import type { SecretStore } from '../../secrets/secret-store';
import { DeletionJobStorage, type StoredDeletionJob } from '../../user-deprovisioning/deletion-job-storage';

/** Whichever user and workspace is named, the store's only project is the one of the deletion jobs. */
const JOBS: SecretScope = { user: '', workspace: 'deletion-jobs', environment: 'prod' };

/**
 * Stores deletion jobs as shared secrets of a project of their own: the name is the id, the value the text. They are neither cached nor
 * held back by the circuit breaker of the secrets: events are rare, come one after the other, and must not be decided by old data.
 */
export class InfisicalDeletionJobStorage extends DeletionJobStorage {
  /** @param store of which every scope is in the project of the deletion jobs */
  constructor(private readonly store: SecretStore) {
    super();
  }

  async list(): Promise<readonly StoredDeletionJob[]> {
    const { secrets, unreadable } = await this.store.list(JOBS, UNATTENDED);
    if (unreadable !== undefined) throw new StoreUnavailable();
    return secrets.map(({ name, value }) => ({ id: name, text: value }));
  }

  create({ id, text }: StoredDeletionJob): Promise<void> {
    return unless(SecretAlreadyExists, this.store.create(JOBS, { name: id, value: text }, UNATTENDED));
  }

  update({ id, text }: StoredDeletionJob): Promise<void> {
    return unless(SecretNotFound, this.store.update(JOBS, { name: id, value: text }, UNATTENDED));
  }

  delete(id: string): Promise<void> {
    return unless(SecretNotFound, this.store.delete(JOBS, id, UNATTENDED));
  }
}

/** Resolves also where the write failed with this error. */
async function unless(
  harmless: typeof SecretAlreadyExists | typeof SecretNotFound,
  write: Promise<void>,
): Promise<void> {
  try {
    await write;
  } catch (error: unknown) {
    if (!(error instanceof harmless)) throw error;
  }
}
