import type { CacheOptions, WatchOptions } from './options.js';
import { mayPass } from './errors.js';
import { pause } from './transport.js';

interface Entry {
  readonly value: string;
  readonly readAtMs: number;
}

/** Values in memory for a short time, the least recently set one forgotten first. */
export class ReadCache {
  readonly #entries = new Map<string, Entry>();
  readonly #options: Required<CacheOptions>;
  /** Counts writes: a read that began before one must not put the older value back. */
  #writes = 0;

  constructor({ ttlMs, staleIfErrorMs = 0, maxEntries = 100 }: CacheOptions) {
    this.#options = { ttlMs, staleIfErrorMs, maxEntries };
  }

  fresh(name: string): string | undefined {
    return this.#youngerThan(this.#options.ttlMs, name);
  }

  stale(name: string): string | undefined {
    return this.#youngerThan(this.#options.ttlMs + this.#options.staleIfErrorMs, name);
  }

  generation(): number {
    return this.#writes;
  }

  set(name: string, value: string, generation: number | undefined): void {
    if (generation !== this.#writes) return;
    this.#entries.delete(name);
    this.#entries.set(name, { value, readAtMs: performance.now() });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#options.maxEntries && oldest !== undefined) this.#entries.delete(oldest);
  }

  forget(name: string): void {
    this.#writes += 1;
    this.#entries.delete(name);
  }

  #youngerThan(maxAgeMs: number, name: string): string | undefined {
    const entry = this.#entries.get(name);
    return entry !== undefined && performance.now() - entry.readAtMs < maxAgeMs ? entry.value : undefined;
  }
}

/** Of an interval that is shorter. */
const MAX_PAUSE_MS = 5 * 60_000;

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
      waitMs = Math.max(intervalMs, backOffMs, askedMs);
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
