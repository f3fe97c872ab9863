/** One run at a time for each key: who comes while it runs shares its outcome. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  /** @param isOwn a failure of whoever began it alone: who joined it begins anew */
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
