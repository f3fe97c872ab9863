import pino, { type DestinationStream, type LogFn, type Logger } from 'pino';

export type Log = Logger;

/** What an adapter needs to tell: constant text and fields that are safe to show. */
export type LogEvent = (
  level: 'info' | 'warn' | 'error',
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** JSON lines. Objects that could drag headers, bodies or tokens along are never written, whoever logs them. */
export function createLog(level: string, destination: DestinationStream): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { req: nothing, res: nothing, err: classOf, error: classOf },
      hooks: { logMethod: withTextOfItsOwn },
    },
    destination,
  );
}

export function logEvent(log: Log): LogEvent {
  return (level, event, fields = {}) => log[level](fields, event);
}

/** Of an event that has an error and no text, pino would make the error's message the text. */
function withTextOfItsOwn(this: Logger, args: Parameters<LogFn>, log: LogFn): void {
  const [fields] = args as [unknown];
  if (args.length > 1 || typeof fields !== 'object' || fields === null) log.apply(this, args);
  else if (fields instanceof Error) log.call(this, { err: fields }, 'error');
  else if ('err' in fields) log.call(this, fields, 'error');
  else log.apply(this, args);
}

function nothing(): undefined {
  return undefined;
}

/** A foreign error's message and properties may carry anything; its class may be shown. */
function classOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : typeof error;
}
