import type { Clock } from '../../clock/clock';

const EARNED_BY_A_CALL = 0.1;
const EARNED_EACH_MS = 1 / 5_000;
const MOST = 10;

/**
 * What the whole process may send a second time: a tenth of its calls, and one each 5 s for a quiet one. A server
 * that fails everything is not asked everything three times.
 */
export class RetryBudget {
  #saved = MOST;
  #countedAtMs: number;

  constructor(private readonly clock: Clock) {
    this.#countedAtMs = clock.nowMs();
  }

  earn(): void {
    const nowMs = this.clock.nowMs();
    const earned = EARNED_BY_A_CALL + Math.max(0, nowMs - this.#countedAtMs) * EARNED_EACH_MS;
    this.#countedAtMs = nowMs;
    this.#saved = Math.min(MOST, this.#saved + earned);
  }

  /** Whether one more may be sent; it is taken when it may. */
  spend(): boolean {
    if (this.#saved < 1) return false;
    this.#saved -= 1;
    return true;
  }
}
