import type { OnApplicationBootstrap, BeforeApplicationShutdown } from '@nestjs/common';
import type { RemovalWorker } from './removal-worker';

/** Ties the worker to the life of the process. */
export class BackgroundRemovals implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    private readonly worker: RemovalWorker,
    /** Where nobody can tell of users, there is nothing to remove. */
    private readonly enabled: boolean,
  ) {}

  onApplicationBootstrap(): void {
    if (this.enabled) this.worker.start();
  }

  /** Users who are yet to be removed, as far as was last seen. */
  get pending(): number {
    return this.worker.pending;
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.worker.stop();
  }
}
