import { withinMs } from '../../time/deadline';

/** How long a task waits for its turn, and what it then fails with, without having begun. */
export interface WaitLimit {
  readonly ms: number;
  readonly late: () => Error;
}

/**
 * Runs the tasks of one key one after the other, in the order of their arrival; keys do not wait for each other.
 * It stands in for the lock that the servers lack: their create looks first and stores later.
 */
export class ScopeQueue {
  readonly #tails = new Map<string, Promise<void>>();

  run<T>(key: string, task: () => Promise<T>, waitLimit?: WaitLimit): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const turn = runAfter(before, task, waitLimit);
    // Who gave up leaves the line in order all the same.
    const tail = before.then(() => turn).then(noop, noop);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return turn;
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
