import { MonotonicTime } from '../../src/time/clock';

/** Real time that passes so many times as fast, for what waits for seconds or minutes. */
export class FastMonotonicTime extends MonotonicTime {
  constructor(private readonly speed: number) {
    super();
  }

  nowMs(): number {
    return performance.now() * this.speed;
  }

  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms / this.speed);
    return () => clearTimeout(timer);
  }
}
