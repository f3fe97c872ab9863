export interface BackOffOptions {
  readonly firstMs: number;
  readonly mostMs: number;
  /** 0 up to 1; a test makes it certain. */
  readonly random: () => number;
}

/** No wait is shorter: what fails at once must not be asked in a tight loop, whatever the dice say. */
const LEAST_MS = 50;

/** Exponential with full jitter: replicas that lost the same server do not come back at the same moment. */
export class BackOff {
  private failures = 0;

  constructor(private readonly options: BackOffOptions) {}

  /** @param mostMs of this failure, where that is less than of others */
  nextMs(atLeastMs = LEAST_MS, mostMs = this.options.mostMs): number {
    const { firstMs, random } = this.options;
    const ceilingMs = Math.min(mostMs, firstMs * 2 ** Math.min(this.failures, 30));
    this.failures += 1;
    return Math.max(LEAST_MS, atLeastMs, random() * ceilingMs);
  }

  reset(): void {
    this.failures = 0;
  }
}
