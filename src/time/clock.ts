/** The only source of time, so that tests can set it. */
export abstract class Clock {
  /** Milliseconds since the epoch. */
  abstract nowMs(): number;
}

export class SystemClock extends Clock {
  nowMs(): number {
    return Date.now();
  }
}

/** Time for durations and waits: it only goes forward, whatever happens to the wall clock, and a test can let an hour pass at once. */
export abstract class MonotonicTime {
  /** Milliseconds since an arbitrary moment; only differences mean anything. */
  abstract nowMs(): number;
  /** Runs `run` once, `ms` from now, unless the returned function cancels it. It keeps no process alive. */
  abstract after(ms: number, run: () => void): () => void;

  /** Resolves after `ms`, or as soon as the signal aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const cancel = this.after(ms, done);
      signal.addEventListener('abort', done, { once: true });
      function done(): void {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      }
    });
  }

  /** Settles as the work does, or as `late` after `ms`; the work then goes on unattended. */
  async within<T, L>(ms: number, work: Promise<T>, late: () => L): Promise<T | L> {
    let cancel = (): void => undefined;
    const timeOut = new Promise<() => L>((resolve) => (cancel = this.after(ms, () => resolve(late))));
    try {
      const end = await Promise.race([work.then((value) => () => value), timeOut]);
      return end();
    } finally {
      cancel();
    }
  }
}

export class SystemMonotonicTime extends MonotonicTime {
  nowMs(): number {
    return performance.now();
  }

  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  }
}
