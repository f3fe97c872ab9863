import { StoreOutcomeUnknown, StoreUnavailable } from '../../errors/store-errors';

export type WriteOperation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

/** What the queue needs of the database. */
export interface BatchWriter {
  batch(operations: WriteOperation[], options: { readonly sync: boolean }): Promise<void>;
}

interface Commit {
  readonly operations: readonly WriteOperation[];
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

const MAX_COMMITS_PER_BATCH = 32;

/**
 * The only writer of the database. What waits is written together: one synced batch, all or nothing.
 *
 * After a failed write nothing more is written. LevelDB would append to a log whose end is torn, acknowledge, and drop
 * the record at the next start; so two writes are never in flight at once, and a failure is final until a restart.
 */
export class CommitQueue {
  private readonly waiting: Commit[] = [];
  private running = false;
  private broken = false;

  constructor(private readonly database: BatchWriter) {}

  get isBroken(): boolean {
    return this.broken;
  }

  /** Resolves when all operations are on disk. @throws StoreOutcomeUnknown, or StoreUnavailable: nothing was written */
  async commit(operations: readonly WriteOperation[]): Promise<void> {
    await new Promise<void>((done, failed) => {
      this.waiting.push({ operations, done, failed });
      if (!this.running) void this.drain();
    });
  }

  private async drain(): Promise<void> {
    this.running = true;
    while (this.waiting.length > 0) {
      const commits = this.waiting.splice(0, MAX_COMMITS_PER_BATCH);
      if (this.broken) {
        for (const { failed } of commits) failed(new StoreUnavailable());
        continue;
      }
      try {
        await this.database.batch(
          commits.flatMap(({ operations }) => operations),
          { sync: true },
        );
        for (const { done } of commits) done();
      } catch {
        this.broken = true;
        for (const { failed } of commits) failed(new StoreOutcomeUnknown());
      }
    }
    this.running = false;
  }
}
