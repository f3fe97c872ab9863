import { SystemMonotonicTime } from '../../src/time/clock';

/** Real time, which a test can advance. */
export class RunningMonotonicTime extends SystemMonotonicTime {
  #aheadMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#aheadMs;
  }

  advance(ms: number): void {
    this.#aheadMs += ms;
  }
}
