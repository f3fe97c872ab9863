import type { CacheOptions } from './options.js';

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
