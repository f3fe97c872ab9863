import { waitFor } from '../time/deadline';

interface Flight<T> {
  readonly work: Promise<T>;
  readonly abort: AbortController;
  /** How many calls wait for it. */
  calls: number;
}

interface FlightOptions {
  /** Ends the wait of this call with the signal's reason; the work is aborted once no call waits for it any more. */
  readonly signal?: AbortSignal;
  /** Whether a failure concerns only the call that began the work; a call that joined it then begins anew. */
  readonly isOwn?: (error: unknown) => boolean;
}

/** Runs one piece of work at a time for each key; calls that come while it runs share its outcome. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  async run(
    key: string,
    start: (signal: AbortSignal) => Promise<T>,
    options: FlightOptions = {},
  ): Promise<T> {
    const { signal, isOwn } = options;
    const joined = this.#flights.get(key);
    let flight = joined;
    if (flight === undefined) {
      const abort = new AbortController();
      const begun: Flight<T> = {
        work: start(abort.signal).finally(() => this.#end(key, begun)),
        abort,
        calls: 0,
      };
      this.#flights.set(key, begun);
      flight = begun;
    }
    flight.calls += 1;
    try {
      return await (signal === undefined ? flight.work : waitFor(flight.work, { signal }));
    } catch (error: unknown) {
      if (joined === undefined || signal?.aborted === true || isOwn?.(error) !== true) throw error;
    } finally {
      flight.calls -= 1;
      if (flight.calls === 0 && this.#end(key, flight)) flight.abort.abort(signal?.reason);
    }
    return this.run(key, start, options);
  }

  /** Returns whether it was still under way. */
  #end(key: string, flight: Flight<T>): boolean {
    return this.#flights.get(key) === flight && this.#flights.delete(key);
  }
}
