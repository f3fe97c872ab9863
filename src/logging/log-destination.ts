import { pino } from 'pino';

/** How much is buffered for a reader that is behind; more is dropped. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
const RETRY_MS = 20;

/**
 * Writes lines to standard output (or another descriptor), at once as long as the reader keeps up. A reader that is behind or gone
 * does not stop the process: lines are buffered for it, and dropped beyond a bound. (By default pino stops the whole process for
 * 100 ms each time that a pipe is full.)
 */
export class LogDestination {
  readonly #lines: ReturnType<typeof pino.destination>;
  #dropped = 0;
  #isBehind = false;

  constructor(
    fd = 1,
    /** Called once the reader has caught up. */
    private readonly onDropped: (lines: number) => void = () => undefined,
  ) {
    this.#lines = pino.destination({
      fd,
      sync: true,
      maxLength: MAX_BUFFERED_BYTES,
      retryEAGAIN: () => false,
    });
    this.#lines.on('drop', () => (this.#dropped += 1));
    this.#lines.on('error', () => this.#retryLater());
    this.#lines.on('drain', () => this.#caughtUp());
  }

  write(line: string): void {
    this.#lines.write(line);
  }

  /** Waits a moment for the reader to read the buffered lines; to be called before the process ends. */
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
    if (dropped > 0) this.onDropped(dropped);
  }
}
