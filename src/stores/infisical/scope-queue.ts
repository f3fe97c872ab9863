import { withinMs } from '../../time/deadline';

/** How long a task waits before it begins, and the error with which it fails after that. */
export interface WaitLimit {
  readonly ms: number;
  readonly late: () => Error;
}

/**
 * Runs the tasks of one key one after the other, in the order of their arrival; tasks of different keys run at once.
 * It replaces the lock that the servers lack: their create checks first and stores later.
 */
export class ScopeQueue {
  readonly #tails = new Map<string, Promise<void>>();

  run<T>(key: string, task: () => Promise<T>, waitLimit?: WaitLimit): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = runAfter(before, task, waitLimit);
    // A task that gave up waiting ends only when those before it have ended.
    const tail = before.then(() => result).then(noop, noop);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return result;
  }
}

async function runAfter<T>(
  before: Promise<void>,
  task: () => Promise<T>,
  waitLimit: WaitLimit | undefined,
): Promise<T> {
  await (waitLimit === undefined ? before : withinMs(waitLimit.ms, before, waitLimit.late));
  return task();
}

function noop(): void {}
