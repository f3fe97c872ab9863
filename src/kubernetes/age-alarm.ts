import type { MonotonicTime } from '../clock/monotonic-time';

/** Tells when something has become too old to count, although nobody looks at it, and when it counts again. */
export class AgeAlarm {
  private cancel: (() => void) | undefined;
  private isTooOld = false;

  constructor(
    private readonly maxAgeMs: number,
    private readonly time: MonotonicTime,
    private readonly ageMs: () => number,
    private readonly tell: (isTooOld: boolean) => void,
  ) {}

  /** It is as young as its age says now. */
  renewed(): void {
    if (this.isTooOld) {
      this.isTooOld = false;
      this.tell(false);
    }
    this.cancel ??= this.arm();
  }

  stop(): void {
    this.cancel?.();
  }

  /** Armed once for many renewals: at its time the age is looked at, and most often it is young. */
  private arm(): () => void {
    return this.time.after(this.maxAgeMs - this.ageMs() + 1, () => {
      this.isTooOld = this.ageMs() > this.maxAgeMs;
      this.cancel = this.isTooOld ? undefined : this.arm();
      if (this.isTooOld) this.tell(true);
    });
  }
}
