/** How a read was answered: from memory, by the store, or from memory because the store could not be asked. */
export type ReadOutcome = 'hit' | 'miss' | 'stale';

export interface CacheFigures {
  readonly entries: number;
  readonly bytes: number;
}

/** Whoever wants to know how the cache does. */
export interface CacheObserver {
  opened(figures: () => CacheFigures): void;
  read(outcome: ReadOutcome): void;
  evicted(): void;
}
