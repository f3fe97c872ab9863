import type { EnvironmentReader } from './environment-reader';

export interface CacheSettings {
  readonly ttlMs: number;
  readonly maxStaleMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

const MEBIBYTE = 1_048_576;

/** Undefined where reads are not to be kept. */
export function cacheSettings(read: EnvironmentReader): CacheSettings | undefined {
  const ttlMs = read.integer('CACHE_TTL_MS', 0, 300_000);
  const settings = {
    ttlMs,
    maxStaleMs: read.integer('CACHE_MAX_STALE_MS', 0, 3_600_000),
    maxEntries: read.integer('CACHE_MAX_ENTRIES', 1, 1_000_000),
    maxBytes: read.integer('CACHE_MAX_MIB', 1, 4_096) * MEBIBYTE,
  };
  return ttlMs === 0 ? undefined : settings;
}
