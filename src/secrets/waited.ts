let waitedByNow = 0;

/**
 * Runs a call of the store that has waited so long for its turn, in milliseconds. Only what the call does before it first
 * awaits is told of it: an AsyncLocalStorage would cost each promise of the process, for one number that is wanted at once.
 */
export function afterWaiting<T>(waitedMs: number, call: () => Promise<T>): Promise<T> {
  const outer = waitedByNow;
  waitedByNow = waitedMs;
  try {
    return call();
  } finally {
    waitedByNow = outer;
  }
}

/** How much of its time a call of the store has spent before it reached the store; to be asked when the call begins. */
export function waitedMs(): number {
  return waitedByNow;
}
