import { SystemClock } from '../../src/time/clock';

/** Real time, of a clock that a test can set forward or back. */
export class RunningClock extends SystemClock {
  #aheadMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#aheadMs;
  }

  advance(ms: number): void {
    this.#aheadMs += ms;
  }
}
