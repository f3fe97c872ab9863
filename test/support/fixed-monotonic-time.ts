import { MonotonicTime } from '../../src/time/clock';

interface Waiting {
  readonly atMs: number;
  readonly run: () => void;
}

/** A monotonic time that only a test advances. */
export class FixedMonotonicTime extends MonotonicTime {
  private timeMs = 1000;
  private readonly waiting = new Set<Waiting>();

  nowMs(): number {
    return this.timeMs;
  }

  after(ms: number, run: () => void): () => void {
    const one = { atMs: this.timeMs + ms, run };
    this.waiting.add(one);
    return () => this.waiting.delete(one);
  }

  /** Advances the time and runs the due timers in order. */
  advance(ms: number): void {
    const untilMs = this.timeMs + ms;
    for (;;) {
      const [next] = [...this.waiting].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.waiting.delete(next);
      this.timeMs = Math.max(this.timeMs, next.atMs);
      next.run();
    }
    this.timeMs = untilMs;
  }
}
