import type { MonotonicTime } from '../../clock/monotonic-time';

/**
 * The time of one call on the wire: what the server may take, and within which it must be over in any case. What we make
 * the server wait for does not count as the server's time.
 */
export class CallTime {
  readonly #cut = new AbortController();
  readonly #cancelEnd: () => void;
  #cancelPatience: () => void = () => undefined;
  #leftMs: number;
  #sinceMs = 0;

  constructor(
    timeoutMs: number,
    patienceMs: number,
    private readonly time: MonotonicTime,
  ) {
    this.#leftMs = timeoutMs;
    this.#cancelEnd = time.after(patienceMs, () => this.#cut.abort());
    this.#run();
  }

  /** Aborts when the time is up. */
  get signal(): AbortSignal {
    return this.#cut.signal;
  }

  async paused<T>(work: Promise<T>): Promise<T> {
    this.#cancelPatience();
    this.#leftMs -= this.time.nowMs() - this.#sinceMs;
    try {
      return await work;
    } finally {
      this.#run();
    }
  }

  end(): void {
    this.#cancelPatience();
    this.#cancelEnd();
  }

  #run(): void {
    this.#sinceMs = this.time.nowMs();
    this.#cancelPatience = this.time.after(Math.max(1, this.#leftMs), () => this.#cut.abort());
  }
}
