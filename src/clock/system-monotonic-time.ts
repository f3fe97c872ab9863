import { MonotonicTime } from './monotonic-time';

export class SystemMonotonicTime extends MonotonicTime {
  nowMs(): number {
    return performance.now();
  }

  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  }
}
