import { mayPass } from './errors.js';
import type { WatchOptions } from './options.js';
import { pause } from './transport.js';

const MAX_PAUSE_MS = 5 * 60_000;
/** A longer timer ends at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Yields a value now and after each change; undefined where there is none. It reads again and again, less often while the service cannot
 * be asked, and ends when its signal aborts. @throws SecretVaultError where asking again is of no use
 */
export async function* watchValue(
  read: () => Promise<string | undefined>,
  options: WatchOptions,
): AsyncGenerator<string | undefined, void, void> {
  const { intervalMs = 30_000, signal } = options;
  let last: { readonly value: string | undefined } | undefined;
  for (let failures = 0; signal?.aborted !== true;) {
    let waitMs = intervalMs;
    try {
      const value = await read();
      failures = 0;
      if (last === undefined || last.value !== value) yield value;
      last = { value };
    } catch (error: unknown) {
      if (isAborted(signal)) return;
      if (!mayPass(error)) throw error;
      failures += 1;
      const backOffMs = Math.min(MAX_PAUSE_MS, intervalMs * 2 ** Math.min(failures, 10));
      const askedMs = (error.details.retryAfterSeconds ?? 0) * 1000;
      waitMs = Math.min(LONGEST_TIMER_MS, Math.max(backOffMs, askedMs));
    }
    try {
      await pause(waitMs, signal);
    } catch {
      return;
    }
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
