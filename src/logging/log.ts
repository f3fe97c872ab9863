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
