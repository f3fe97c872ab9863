import { pino } from 'pino';

/** What is kept for a reader that is behind; more is dropped. */
const MAX_KEPT_BYTES = 1024 * 1024;
const RETRY_MS = 20;

/**
 * Standard output (or another descriptor), written at once as long as whoever reads it keeps up. Who does not, or has gone, holds
 * nobody up: lines are kept for them, and dropped beyond a bound. (Left to itself, pino stops the whole process for 100 ms each
 * time that a pipe is full.)
 */
export class LogDestination {
  readonly #lines: ReturnType<typeof pino.destination>;
  #dropped = 0;
  #isBehind = false;

  constructor(
    fd = 1,
    /** Told once the reader has caught up. */
    private readonly wereDropped: (lines: number) => void = () => undefined,
  ) {
    this.#lines = pino.destination({ fd, sync: true, maxLength: MAX_KEPT_BYTES, retryEAGAIN: () => false });
    this.#lines.on('drop', () => (this.#dropped += 1));
    this.#lines.on('error', () => this.#retryLater());
    this.#lines.on('drain', () => this.#caughtUp());
  }

  write(line: string): void {
    this.#lines.write(line);
  }

  /** Gives the reader a moment to take what is kept, as before the process ends. */
  async flush(withinMs: number): Promise<void> {
    for (const untilMs = performance.now() + withinMs; this.#isBehind && performance.now() < untilMs;)
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }

  #retryLater(): void {
    if (this.#isBehind) return;
    this.#isBehind = true;
    setTimeout(() => {
      this.#isBehind = false;
      this.#lines.write('');
    }, RETRY_MS).unref();
  }

  #caughtUp(): void {
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0) this.wereDropped(dropped);
  }
}
