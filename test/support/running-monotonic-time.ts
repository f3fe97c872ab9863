import { SystemMonotonicTime } from '../../src/time/clock';

/** Real time, of which a test lets some pass at once. */
export class RunningMonotonicTime extends SystemMonotonicTime {
  #aheadMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#aheadMs;
  }

  advance(ms: number): void {
    this.#aheadMs += ms;
  }
}
