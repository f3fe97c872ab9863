import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MonotonicTime } from '../clock/monotonic-time';

/** How often the loop is looked at. A loop in time shows this much too, so it is taken off. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 1_000;

/** How late the event loop runs: the mean over the last second, so that one long pause alone does not count as load. */
export class LoopDelay {
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #recentMs = 0;
  #callOff: () => void = () => undefined;

  /** @param maxMs later than this is too late */
  constructor(
    private readonly maxMs: number,
    private readonly time: MonotonicTime,
    private readonly windowMs = WINDOW_MS,
  ) {
    this.#delays.enable();
    this.#look();
  }

  get isTooLate(): boolean {
    return this.#recentMs > this.maxMs;
  }

  close(): void {
    this.#callOff();
    this.#delays.disable();
  }

  #look(): void {
    this.#callOff = this.time.after(this.windowMs, () => {
      const { count, mean } = this.#delays;
      this.#recentMs = count === 0 ? 0 : Math.max(0, mean / 1e6 - RESOLUTION_MS);
      this.#delays.reset();
      this.#look();
    });
  }
}
