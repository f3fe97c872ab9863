import { DeletionJobStorage, type StoredDeletionJob } from '../../src/user-deprovisioning/deletion-jobs';

/** Deletion jobs in memory; it records its calls, and can be made to fail. */
export class MemoryDeletionJobStorage extends DeletionJobStorage {
  readonly calls: string[] = [];
  failure: Error | undefined;
  private readonly texts = new Map<string, string>();

  async list(): Promise<readonly StoredDeletionJob[]> {
    this.enter('list');
    return [...this.texts].map(([id, text]) => ({ id, text }));
  }

  async create({ id, text }: StoredDeletionJob): Promise<void> {
    this.enter('create');
    if (!this.texts.has(id)) this.texts.set(id, text);
  }

  async update({ id, text }: StoredDeletionJob): Promise<void> {
    this.enter('update');
    if (this.texts.has(id)) this.texts.set(id, text);
  }

  async delete(id: string): Promise<void> {
    this.enter('delete');
    this.texts.delete(id);
  }

  private enter(method: string): void {
    this.calls.push(method);
    if (this.failure !== undefined) throw this.failure;
  }
}
