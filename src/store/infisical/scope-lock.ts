/** A scope that nobody else writes to until it is let go. */
export interface HeldScope {
  /** Never throws, and is not waited for. */
  release(): void;
}

/** Lets one replica at a time write to a scope. */
export interface ScopeLock {
  /**
   * Where the lock cannot be had for other reasons than that somebody has it, the answer is as if it were held.
   * @returns undefined where others had it for all of `patienceMs`
   */
  hold(scope: string, patienceMs: number): Promise<HeldScope | undefined>;
}

/** One replica alone: its own queue is all that is needed. */
export const NO_OTHER_REPLICA: ScopeLock = {
  hold: () => Promise.resolve({ release: () => undefined }),
};
