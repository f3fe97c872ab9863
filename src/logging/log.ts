import type { LoggerService } from '@nestjs/common';
import pino, { type DestinationStream, type LogFn, type Logger } from 'pino';

export type Log = Logger;

/** Logs an event: a constant snake_case word with fields that are safe to show. */
export type LogEvent = (
  level: 'info' | 'warn' | 'error',
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** Makes a log of JSON lines. Objects that could contain headers, bodies or tokens are never written, whoever logs them. */
export function createLog(level: string, destination: DestinationStream): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { req: nothing, res: nothing, err: classOf, error: classOf },
      hooks: { logMethod: withEvent },
    },
    destination,
  );
}

/**
 * Returns the log in the form in which Nest logs. Nest tells of each module and each route at `info`, which is `debug` here. It passes
 * an error as itself, or as its text and its stack; of a foreign error only the class is logged.
 */
export function nestLogger(log: Log): LoggerService {
  const at = (level: 'trace' | 'debug' | 'warn' | 'error' | 'fatal') => {
    const write = log[level].bind(log);
    return (message: unknown, ...more: unknown[]): void => {
      const context = more.at(-1);
      if (message instanceof Error) write({ context, err: message });
      else if (more.length > 1 && /\n\s*at /.test(String(more[0]))) write({ context, err: new Error() });
      else write({ context }, String(message));
    };
  };
  const debug = at('debug');
  return {
    verbose: at('trace'),
    debug,
    log: debug,
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
  };
}

export function logEvent(log: Log): LogEvent {
  return (level, event, fields = {}) => log[level](fields, event);
}

const EVENT = /^[a-z][a-z0-9_]*$/;

/**
 * Makes an event of whatever is logged. A sentence, as Nest logs them, becomes the field `text` of the event `framework_message`. An error
 * without a text becomes the event `error`, since pino would make the error's message the text.
 */
function withEvent(this: Logger, args: Parameters<LogFn>, log: LogFn): void {
  const [first, second] = args as [unknown, unknown];
  const text = typeof first === 'string' ? first : second;
  const fields = first instanceof Error ? { err: first } : typeof first === 'object' ? first : {};
  if (typeof text === 'string' && !EVENT.test(text)) log.call(this, { ...fields, text }, 'framework_message');
  else if (text === undefined && fields !== null && 'err' in fields) log.call(this, fields, 'error');
  else log.apply(this, args);
}

function nothing(): undefined {
  return undefined;
}

/** Returns the error's class: a foreign error's message and properties may contain a secret. */
function classOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}

/** How much is buffered for a reader that is behind; more is dropped. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
const RETRY_MS = 20;

/**
 * Writes lines to standard output (or another descriptor), at once as long as the reader keeps up. A reader that is behind or gone
 * does not stop the process: lines are buffered for it, and dropped beyond a bound. (By default pino stops the whole process for
 * 100 ms each time that a pipe is full.)
 */
export class LogDestination {
  /** What a log writes to. */
  readonly lines: ReturnType<typeof pino.destination>;
  #dropped = 0;
  #droppedInAll = 0;
  #caughtUp: Promise<void> | undefined;
  #isBehind = false;

  constructor(
    fd = 1,
    /** Called once the reader has caught up. */
    private readonly onDropped: (lines: number) => void = () => undefined,
  ) {
    this.lines = pino.destination({
      fd,
      sync: true,
      maxLength: MAX_BUFFERED_BYTES,
      retryEAGAIN: () => false,
    });
    this.lines.on('drop', () => {
      this.#dropped += 1;
      this.#droppedInAll += 1;
    });
    this.lines.on('error', () => this.#retryLater());
    this.lines.on('drain', () => {
      const dropped = this.#dropped;
      this.#dropped = 0;
      if (dropped > 0) this.onDropped(dropped);
    });
  }

  /** Writes a line, and resolves with true once the reader has it; with false where it was dropped since the reader is too far behind. */
  async deliver(line: string): Promise<boolean> {
    const dropped = this.#droppedInAll;
    this.lines.write(line);
    if (this.#droppedInAll > dropped) return false;
    if (this.#isBehind) await (this.#caughtUp ??= this.#drained());
    return true;
  }

  /** Waits a moment for the reader to read the buffered lines; to be called before the process ends. */
  async flush(withinMs: number): Promise<void> {
    for (const untilMs = performance.now() + withinMs; this.#isBehind && performance.now() < untilMs;)
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }

  async #drained(): Promise<void> {
    // It is emitted a tick after the buffer was empty: a line may have found the pipe full since.
    do await new Promise((resolve) => this.lines.once('drain', resolve));
    while (this.#isBehind);
    this.#caughtUp = undefined;
  }

  #retryLater(): void {
    if (this.#isBehind) return;
    this.#isBehind = true;
    setTimeout(() => {
      this.#isBehind = false;
      this.lines.write('');
    }, RETRY_MS).unref();
  }
}
