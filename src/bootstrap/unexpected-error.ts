import { traceOf } from '../errors/domain-error';

/**
 * Ends the process on an error that nobody caught. Node would print it with its message and all its properties, in which a library's error
 * may have a value or a credential. Every entry point imports this file before any that may fail.
 */
process.on('uncaughtException', (error: unknown) => {
  const { errorClass, at } = traceOf(error);
  const shown = [errorClass, ...(at.length > 0 ? ['at', at.join(', ')] : [])].join(' ');
  process.stderr.write(`olares-secret-provider ends because of an unexpected error (${shown}).\n`);
  process.exit(1);
});
