/** How the lock of a scope went: `held`; `alone`, without Redis; `late`, somebody else had it too long; `lost` while it was held. */
export type LockOutcome = 'held' | 'alone' | 'late' | 'lost';

/** Whoever wants to know how we and Redis get along. */
export interface RedisObserver {
  /** Whether both connections work; told at each change. */
  connected(isUp: boolean): void;
  locked(outcome: LockOutcome): void;
}
