import { AsyncLocalStorage } from 'node:async_hooks';

const waited = new AsyncLocalStorage<number>();

/** Runs a call of the store that has waited so long for its turn, in milliseconds. */
export function afterWaiting<T>(waitedMs: number, call: () => Promise<T>): Promise<T> {
  return waited.run(waitedMs, call);
}

/** How much of its time a call of the store has spent before it reached the store. */
export function waitedMs(): number {
  return waited.getStore() ?? 0;
}
