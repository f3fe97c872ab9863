export interface BackOffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Returns 0 up to 1, as Math.random() does. */
  readonly random: () => number;
}

/** No wait is shorter, so that what fails at once is not retried in a tight loop. */
const MIN_MS = 50;

/** Exponential back-off with full jitter: replicas that lost the same server do not come back at the same moment. */
export class BackOff {
  private failures = 0;

  constructor(private readonly options: BackOffOptions) {}

  /** Counts a failure and returns the wait before the next attempt. @param maxMs a shorter maximum for this failure */
  nextMs(atLeastMs = MIN_MS, maxMs = this.options.maxMs): number {
    const { firstMs, random } = this.options;
    const ceilingMs = Math.min(maxMs, firstMs * 2 ** Math.min(this.failures, 30));
    this.failures += 1;
    return Math.max(MIN_MS, atLeastMs, random() * ceilingMs);
  }

  reset(): void {
    this.failures = 0;
  }
}
