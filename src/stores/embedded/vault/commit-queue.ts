import { StoreOutcomeUnknown, StoreUnavailable } from '../../../errors/store-errors';

export type WriteOperation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

/** The part of the database that the queue uses. */
export interface BatchWriter {
  batch(operations: WriteOperation[], options: { readonly sync: boolean }): Promise<void>;
  get(key: Buffer): Promise<Buffer | undefined>;
}

/** The disk had no space for the write, and nothing of it was written; the database takes writes again. */
export class NotWritten extends Error {}

interface Commit {
  readonly operations: readonly WriteOperation[];
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

interface Failure {
  readonly error: unknown;
  /** The attempt to recover from it that is under way, or has succeeded. */
  recovery?: Promise<boolean> | undefined;
}

const MAX_COMMITS_PER_BATCH = 32;
/** Exceeded only by a single larger commit: all of a batch is in one log, for which an opening needs disk space. */
const MAX_BYTES_PER_BATCH = 1024 * 1024;

/**
 * The only writer of the database. Waiting commits are written together: one synced batch, all or nothing.
 *
 * After a failed write nothing more is written until the database was reopened. LevelDB would append to a log whose end is
 * torn, acknowledge, and drop the record at the next start; so two writes are never in flight at once.
 */
export class CommitQueue {
  private readonly waiting: Commit[] = [];
  private running = false;
  private failure: Failure | undefined;

  constructor(
    private readonly database: BatchWriter,
    /** Makes the database writable again after a failed write. Resolves to false where only a restart can. */
    private readonly recover: (error: unknown) => Promise<boolean>,
  ) {}

  /**
   * Resolves when all operations are on disk.
   * @throws StoreOutcomeUnknown, or NotWritten and StoreUnavailable where nothing was written
   */
  async commit(operations: readonly WriteOperation[]): Promise<void> {
    await new Promise<void>((done, failed) => {
      this.waiting.push({ operations, done, failed });
      if (!this.running) void this.drain();
    });
  }

  /** Tries to recover from the last failure. Returns whether writes are taken. */
  async repair(): Promise<boolean> {
    const { failure } = this;
    if (failure === undefined) return true;
    // Shared until the failure is gone: a second reopening could begin as the next write does.
    failure.recovery ??= this.recover(failure.error);
    if (!(await failure.recovery)) failure.recovery = undefined;
    else if (this.failure === failure) this.failure = undefined;
    return this.failure === undefined;
  }

  private async drain(): Promise<void> {
    this.running = true;
    while (this.waiting.length > 0) {
      const commits = this.waiting.splice(0, this.nextBatchSize());
      if (await this.repair()) await this.write(commits);
      else for (const { failed } of commits) failed(new StoreUnavailable());
    }
    this.running = false;
  }

  private async write(commits: readonly Commit[]): Promise<void> {
    try {
      await this.database.batch(
        commits.flatMap(({ operations }) => operations),
        { sync: true },
      );
      for (const { done } of commits) done();
    } catch (error: unknown) {
      this.failure = { error };
      const isWritten = (await this.repair()) ? await this.isWritten(commits) : undefined;
      for (const { done, failed } of commits) {
        if (isWritten === true) done();
        else failed(isWritten === false ? new NotWritten() : new StoreOutcomeUnknown());
      }
    }
  }

  /**
   * Returns whether the database is as after the batch, which is stored as a whole or not at all; undefined if it cannot be read. All
   * keys are compared, since some operations change nothing: a delete of what is not there does not tell.
   */
  private async isWritten(commits: readonly Commit[]): Promise<boolean | undefined> {
    const operations = commits.flatMap((commit) => commit.operations);
    const lastOfKey = new Map(operations.map((operation) => [operation.key.toString('latin1'), operation]));
    try {
      for (const operation of lastOfKey.values()) {
        const value = await this.database.get(operation.key);
        const expected = operation.type === 'put' ? operation.value : undefined;
        if (expected === undefined ? value !== undefined : value?.equals(expected) !== true) return false;
      }
      return true;
    } catch {
      return undefined;
    }
  }

  /** Returns how many of the waiting commits are written together. */
  private nextBatchSize(): number {
    let bytes = 0;
    const next = this.waiting.slice(0, MAX_COMMITS_PER_BATCH);
    const tooMany = next.findIndex(({ operations }, at) => {
      bytes += batchBytes(operations);
      return at > 0 && bytes > MAX_BYTES_PER_BATCH;
    });
    return tooMany < 0 ? next.length : tooMany;
  }
}

/** Returns how many bytes the operations add to the database. */
export function batchBytes(operations: readonly WriteOperation[]): number {
  return operations.reduce(
    (sum, one) => sum + (one.type === 'put' ? one.key.length + one.value.length : 0),
    0,
  );
}
