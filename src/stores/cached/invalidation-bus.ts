/** The scope that a write changed, by its key. */
export type WrittenScope = { readonly scope: string } | 'unknown';

/** Tells the other replicas about each write, so that none serves what it read before. */
export abstract class InvalidationBus {
  /** Whether the writes of other replicas are received at once. */
  abstract readonly received: boolean;
  /** Resolves when the others were told, or cannot be told soon. Never rejects. */
  abstract publish(written: WrittenScope): Promise<void>;
  /** Calls the listener for each write of another replica, and with 'unknown' after a message may have been missed. */
  abstract listen(written: (scope: WrittenScope) => void): void;
}

/** For a single replica. The time to live bounds how long another one would serve old values. */
export class NoInvalidationBus extends InvalidationBus {
  readonly received = true;

  async publish(): Promise<void> {}

  listen(): void {}
}
