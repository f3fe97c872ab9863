/**
 * Runs the tasks of one key one after the other, in the order of their arrival; keys do not wait for each other.
 * It stands in for the lock that the servers lack: their create looks first and stores later.
 */
export class ScopeQueue {
  readonly #tails = new Map<string, Promise<void>>();

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const turn = (this.#tails.get(key) ?? Promise.resolve()).then(task);
    const tail = turn.then(noop, noop);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return turn;
  }
}

function noop(): void {}
