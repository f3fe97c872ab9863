export interface Pace {
  /** How long it must have been quiet. */
  readonly quietMs: number;
  /** How long a nudge waits at most, although it never gets quiet. */
  readonly atMostMs: number;
}

/** Runs a task soon after a burst of nudges, never twice at a time; a nudge during a run brings another one. */
export class DebouncedTask {
  private firstNudgeMs: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly task: () => Promise<void>,
    private readonly pace: Pace,
  ) {}

  nudge(): void {
    if (this.closed) return;
    const nowMs = performance.now();
    this.firstNudgeMs ??= nowMs;
    const latestMs = this.firstNudgeMs + this.pace.atMostMs - nowMs;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run(), Math.max(0, Math.min(this.pace.quietMs, latestMs)));
    this.timer.unref();
  }

  /** Runs now, behind a run that is under way. */
  run(): Promise<void> {
    clearTimeout(this.timer);
    this.firstNudgeMs = undefined;
    this.running = this.running.then(() => (this.closed ? undefined : this.task()));
    return this.running;
  }

  /** Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.running;
  }
}
