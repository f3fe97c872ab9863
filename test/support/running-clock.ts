import { SystemClock } from '../../src/time/clock';

/** Real time, as of a machine whose clock a test puts forward or back. */
export class RunningClock extends SystemClock {
  #aheadMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#aheadMs;
  }

  advance(ms: number): void {
    this.#aheadMs += ms;
  }
}
