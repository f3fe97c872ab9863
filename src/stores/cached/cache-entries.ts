import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';
import type { InvalidationBus } from './invalidation-bus';
import type { Snapshot } from './snapshot';

/** How a read was answered: from the cache, by the store, or from the cache because the store was unreachable. */
export type ReadOutcome = 'hit' | 'miss' | 'stale';

interface CacheFigures {
  readonly entries: number;
  readonly bytes: number;
}

export interface CacheObserver {
  opened(figures: () => CacheFigures): void;
  read(outcome: ReadOutcome): void;
  evicted(): void;
}

export interface CacheOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** How long an entry is served without a call to the store. */
  readonly ttlMs: number;
  /** How old an entry may be that is served while the store is unreachable. */
  readonly maxStaleMs: number;
}

export interface CacheDeps {
  readonly time: MonotonicTime;
  readonly invalidationBus: InvalidationBus;
  readonly observer?: CacheObserver | undefined;
}

/** Returns how long an entry may be served, whether or not the store can be asked. */
export function usableForMs({ ttlMs, maxStaleMs }: CacheOptions): number {
  return Math.max(ttlMs, maxStaleMs);
}

const MAX_INDETERMINATE_SCOPES = 1_000;
/** With so many all names of the scope count as uncertain, until it is read whole. */
const MAX_INDETERMINATE_NAMES = 1_000;

/** Names whose last write may or may not have happened: they are answered by the store itself only. */
export class IndeterminateNames {
  readonly #ofScope = new LRUCache<string, Set<string>>({ max: MAX_INDETERMINATE_SCOPES });

  add(scope: string, name: string): void {
    const names = this.#ofScope.get(scope) ?? new Set();
    if (names.size < MAX_INDETERMINATE_NAMES) names.add(name);
    this.#ofScope.set(scope, names);
  }

  /** Notes that the outcome of the writes to this name is known, or of all writes to the scope. Returns whether one was not. */
  settle(scope: string, name?: string): boolean {
    const names = this.#ofScope.get(scope);
    if (names === undefined || (name !== undefined && (isFull(names) || !names.delete(name)))) return false;
    if (name === undefined || names.size === 0) this.#ofScope.delete(scope);
    return true;
  }

  /** @param name any name of the scope where it is undefined */
  has(scope: string, name?: string): boolean {
    const names = this.#ofScope.get(scope);
    return names !== undefined && (name === undefined || isFull(names) || names.has(name));
  }
}

function isFull(names: ReadonlySet<string>): boolean {
  return names.size >= MAX_INDETERMINATE_NAMES;
}

/** The number of remembered scopes; any other is assumed to have been written to when the last forgotten one was. */
const MAX_SCOPES = 100_000;

/**
 * Orders the beginnings of reads and the ends of writes: a read that began before the last write to its scope ended is
 * invalid, however late it arrives.
 */
export class ScopeGenerations {
  #now = 0;
  #forgotten = 0;
  /** Scopes in the order of their last write. */
  readonly #raised = new Map<string, number>();

  /** The generation of a read that begins now. */
  get now(): number {
    return this.#now;
  }

  /** Notes that a write to this scope ended. */
  raise(scope: string): void {
    this.#now += 1;
    this.#raised.delete(scope);
    this.#raised.set(scope, this.#now);
    const [oldest] = this.#raised.size > MAX_SCOPES ? this.#raised : [];
    if (oldest === undefined) return;
    this.#raised.delete(oldest[0]);
    this.#forgotten = oldest[1];
  }

  /** Notes that a write to an unknown scope ended. */
  raiseAll(): void {
    this.#now += 1;
    this.#forgotten = this.#now;
    this.#raised.clear();
  }

  /** Returns the generation of the last write to this scope. */
  lastOf(scope: string): number {
    return this.#raised.get(scope) ?? this.#forgotten;
  }

  /** Returns whether a write to this scope ended since a read of that generation began. */
  hasInvalidatedSince(scope: string, generationAtStart: number): boolean {
    return generationAtStart < this.lastOf(scope);
  }
}

/** The share of the cache that one entry may take, so that no single workspace evicts all others. */
const MAX_ENTRY_SHARE = 1 / 4;
const SWEEP_EVERY_MS = 10_000;

/**
 * Snapshots of scopes and of single names, bounded by number and bytes, as long as no write has invalidated them. The least
 * recently used one is evicted first, and wiped.
 */
export class CacheEntries {
  readonly #entries: LRUCache<string, Snapshot>;
  /** Scopes that have entries of single names. */
  readonly #scopesWithNames: LRUCache<string, true>;
  #cancelSweep: () => void = () => undefined;

  constructor(
    private readonly options: CacheOptions,
    private readonly time: MonotonicTime,
    private readonly generations: ScopeGenerations,
    evicted: () => void,
  ) {
    const { maxEntries, maxBytes } = options;
    this.#scopesWithNames = new LRUCache({ max: maxEntries });
    this.#entries = new LRUCache<string, Snapshot>({
      max: maxEntries,
      maxSize: maxBytes,
      maxEntrySize: Math.max(1, Math.floor(maxBytes * MAX_ENTRY_SHARE)),
      sizeCalculation: ({ bytes }) => bytes,
      dispose: (snapshot, _key, why) => {
        snapshot.wipeSoon();
        if (why === 'evict') evicted();
      },
    });
    this.#sweepLater();
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Returns the entry of the name, or else that of the whole scope. */
  get(scope: string, name?: string): Snapshot | undefined {
    if (name !== undefined && this.hasNames(scope)) {
      const own = this.#entries.get(entryKeyOf(scope, name));
      if (own !== undefined && this.#isValid(scope, own)) return own;
    }
    const whole = this.#entries.get(entryKeyOf(scope));
    return whole !== undefined && this.#isValid(scope, whole) ? whole : undefined;
  }

  /** Returns whether there may be entries of single names of a scope. */
  hasNames(scope: string): boolean {
    return this.#scopesWithNames.has(scope);
  }

  /** Returns the entries of single names of a scope. */
  namesOf(scope: string): readonly Snapshot[] {
    const entries = this.#namesOf(scope).map(([, entry]) => entry);
    return entries.filter((entry) => this.#isValid(scope, entry));
  }

  /**
   * Sets an entry; that of a whole scope replaces those of its single names that were not read after it. One that is too large is not
   * cached, and the entry before it is removed.
   */
  set(scope: string, snapshot: Snapshot): void {
    const key = entryKeyOf(scope, snapshot.only);
    if (snapshot.isWhole) this.#deleteNames(scope, snapshot.time.atMs);
    else this.#scopesWithNames.set(scope, true);
    this.#entries.set(key, snapshot);
    if (this.#entries.peek(key) !== snapshot) snapshot.wipeSoon();
  }

  /** Removes the entries of a scope and of its single names. */
  delete(scope: string): void {
    this.#deleteNames(scope, Infinity);
    this.#entries.delete(entryKeyOf(scope));
  }

  clear(): void {
    this.#entries.clear();
  }

  close(): void {
    this.#cancelSweep();
    this.clear();
  }

  /** Removes expired entries, which no read may ever ask for again. */
  #sweepLater(): void {
    this.#cancelSweep = this.time.after(SWEEP_EVERY_MS, () => {
      const minAtMs = this.time.nowMs() - usableForMs(this.options);
      for (const [key, { time }] of [...this.#entries.entries()])
        if (time.atMs < minAtMs) this.#entries.delete(key);
      this.#sweepLater();
    });
  }

  #deleteNames(scope: string, untilMs: number): void {
    const names = this.#namesOf(scope);
    const replaced = names.filter(([, { time }]) => time.atMs <= untilMs);
    for (const [key] of replaced) this.#entries.delete(key);
    if (replaced.length === names.length) this.#scopesWithNames.delete(scope);
  }

  #namesOf(scope: string): readonly (readonly [key: string, snapshot: Snapshot])[] {
    if (!this.hasNames(scope)) return [];
    const isOfScope = ([key, { only }]: [string, Snapshot]) => only !== undefined && key.startsWith(scope);
    return [...this.#entries.entries()].filter(isOfScope);
  }

  #isValid(scope: string, { time }: Snapshot): boolean {
    return !this.generations.hasInvalidatedSince(scope, time.generationAtStart);
  }
}

/** A scope's key is JSON, so no key is the beginning of another. */
function entryKeyOf(scope: string, name = ''): string {
  return scope + name;
}
