import { hkdfSync, type KeyObject } from 'node:crypto';
import { Mutex } from 'async-mutex';
import { DeletionJobStorage, type StoredDeletionJob } from '../../user-deprovisioning/deletion-jobs';
import {
  DELETION_JOB_RECORDS,
  FORMAT_VERSION,
  lengthPrefixed,
  NotAuthentic,
  parseLengthPrefixed,
  recordBatches,
  RecordKeys,
  seal,
  unseal,
  type VaultDatabase,
} from './records';
import { intoKey } from './vault/vault-meta';
import type { VaultWriter } from './vault/vault-writer';

/** Runs work on the database, which may be reopened meanwhile. @throws DomainError only */
export type WhileOpen = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Stores deletion jobs under a record prefix of their own. Their key is derived from the index key, so that a rotation of the master
 * key, which wraps the index key anew, needs to know nothing of them. They are written as long as there is any space.
 */
export class EmbeddedDeletionJobStorage extends DeletionJobStorage {
  private readonly recordKeys: RecordKeys;
  private readonly key: KeyObject;
  private readonly mutex = new Mutex();

  constructor(
    private readonly database: VaultDatabase,
    indexKey: KeyObject,
    private readonly writer: VaultWriter,
    private readonly whileOpen: WhileOpen,
  ) {
    super();
    this.recordKeys = new RecordKeys(indexKey);
    const info = `olares-secret-provider embedded store v${FORMAT_VERSION} deletion jobs`;
    this.key = intoKey(new Uint8Array(hkdfSync('sha256', indexKey, '', info, 32)));
  }

  async list(): Promise<readonly StoredDeletionJob[]> {
    return this.whileOpen(async () => {
      const jobs: StoredDeletionJob[] = [];
      for await (const batch of recordBatches(this.database, DELETION_JOB_RECORDS))
        for (const [recordKey, record] of batch) jobs.push(this.open(recordKey, record));
      return jobs;
    });
  }

  async create(job: StoredDeletionJob): Promise<void> {
    await this.put(job, false);
  }

  async update(job: StoredDeletionJob): Promise<void> {
    await this.put(job, true);
  }

  async delete(id: string): Promise<void> {
    await this.exclusively(() =>
      this.writer.write([{ type: 'del', key: this.recordKeys.ofDeletionJob(id) }], true),
    );
  }

  /** Stores the job only where the presence of its record is as expected. */
  private async put({ id, text }: StoredDeletionJob, isExpected: boolean): Promise<void> {
    await this.exclusively(async () => {
      const recordKey = this.recordKeys.ofDeletionJob(id);
      if ((await this.database.has(recordKey)) !== isExpected) return;
      const value = seal(this.key, lengthPrefixed(id, text), contextOf(recordKey));
      await this.writer.write([{ type: 'put', key: recordKey, value }], true);
    });
  }

  /** Makes a change while the database is open; the mutex is held until it is on disk. */
  private exclusively(change: () => Promise<void>): Promise<void> {
    return this.whileOpen(() => this.mutex.runExclusive(change));
  }

  /** @throws NotAuthentic where the record is damaged, of another job or of another format version */
  private open(recordKey: Buffer, record: Buffer): StoredDeletionJob {
    const [id, text] = parseLengthPrefixed(unseal(this.key, record, contextOf(recordKey)));
    if (id === undefined || text === undefined) throw new NotAuthentic();
    return { id, text };
  }
}

function contextOf(recordKey: Uint8Array): Buffer {
  return lengthPrefixed('deletion job', `v${FORMAT_VERSION}`, recordKey);
}
