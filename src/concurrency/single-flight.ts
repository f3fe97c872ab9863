/** Runs one piece of work at a time for each key; calls that come while it runs share its outcome. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  /** @param isOwn whether a failure concerns only the call that began the run; a call that joined it then begins a new one */
  run(key: string, start: () => Promise<T>, isOwn: (error: unknown) => boolean = () => false): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined) {
      return running.catch((error: unknown) => {
        if (!isOwn(error)) throw error;
        return this.run(key, start, isOwn);
      });
    }
    const started = start().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }
}
