/** What a write changed: one scope by its key, or nobody can tell. */
export type WrittenScope = { readonly scope: string } | 'unknown';

/** Replicas tell each other what they wrote, so that none serves what it read before. */
export abstract class InvalidationBus {
  /** Whether what others write is heard at once. */
  abstract readonly received: boolean;
  /** Resolves when the others were told, or cannot be: a write is not held up for long. Never rejects. */
  abstract publish(written: WrittenScope): Promise<void>;
  /** Each listener is called for each write of another replica, and with 'unknown' after one may have been missed. */
  abstract listen(written: (scope: WrittenScope) => void): void;
}

/** One replica alone: nobody else is to be told, nor heard. The time to live bounds what another one would see. */
export class NoInvalidationBus extends InvalidationBus {
  readonly received = true;

  async publish(): Promise<void> {}

  listen(): void {}
}
