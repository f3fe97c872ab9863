export const BREAKER_STATES = ['closed', 'open', 'half_open'] as const;
/** Closed: calls pass. Open: they fail at once. Half open: one passes, to see whether the store is back. */
export type BreakerState = (typeof BREAKER_STATES)[number];

export interface QueueFigures {
  readonly waiting: number;
  readonly underWay: number;
}

/** Whoever wants to know how calls get through to the store. */
export interface StoreLoadObserver {
  queueOpened(figures: () => QueueFigures): void;
  /** A call found no place in the line, or no turn in time. */
  turnRefused(): void;
  breakerOpened(state: () => BreakerState): void;
  breakerBecame(state: BreakerState): void;
}
