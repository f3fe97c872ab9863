import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';
import type { InvalidationBus } from './invalidation-bus';
import type { Snapshot } from './snapshot';

/** How a read was answered: from the cache, by the store, or from the cache because the store was unreachable. */
export type ReadOutcome = 'hit' | 'miss' | 'stale';

export interface CacheFigures {
  readonly entries: number;
  readonly bytes: number;
}

/** Observes the cache. */
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

const MAX_INDETERMINATE_SCOPES = 1_000;

interface IndeterminateWrites {
  readonly names: Set<string>;
  /** The generation of the last indeterminate write. */
  since: number;
}

/** Names whose last write may or may not have happened: they are answered by the store itself only. */
export class IndeterminateNames {
  readonly #ofScope = new LRUCache<string, IndeterminateWrites>({ max: MAX_INDETERMINATE_SCOPES });

  add(scope: string, name: string, since: number): void {
    const indeterminate = this.#ofScope.get(scope) ?? { names: new Set<string>(), since };
    indeterminate.names.add(name);
    indeterminate.since = since;
    this.#ofScope.set(scope, indeterminate);
  }

  /** Notes that a read of the scope began in this generation: where that was after the writes, their outcome is known. */
  settle(scope: string, generationAtStart: number): void {
    const indeterminate = this.#ofScope.get(scope);
    if (indeterminate !== undefined && generationAtStart >= indeterminate.since) this.#ofScope.delete(scope);
  }

  /** @param name any name of the scope where it is undefined */
  has(scope: string, name?: string): boolean {
    const indeterminate = this.#ofScope.get(scope);
    return indeterminate !== undefined && (name === undefined || indeterminate.names.has(name));
  }
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

  constructor(private readonly maxScopes = MAX_SCOPES) {}

  /** The number of remembered scopes. */
  get remembered(): number {
    return this.#raised.size;
  }

  /** The generation of a read that begins now. */
  get now(): number {
    return this.#now;
  }

  /** Notes that a write to this scope ended. */
  raise(scope: string): void {
    this.#now += 1;
    this.#raised.delete(scope);
    this.#raised.set(scope, this.#now);
    const [oldest] = this.#raised.size > this.maxScopes ? this.#raised : [];
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
        wipeSoon(snapshot);
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

  /** Returns the entry of a scope, or else that of the name; with `isAlone` only that of the name. */
  get(scope: string, name?: string, isAlone = false): Snapshot | undefined {
    const entry = this.#entries.get(entryKeyOf(scope, isAlone ? name : undefined));
    if (entry !== undefined && this.#isValid(scope, entry)) return entry;
    return name === undefined || isAlone ? undefined : this.get(scope, name, true);
  }

  /** Returns the entries of single names of a scope. */
  namesOf(scope: string): readonly Snapshot[] {
    const entries = this.#namesOf(scope).map(([, entry]) => entry);
    return entries.filter((entry) => this.#isValid(scope, entry));
  }

  /**
   * Sets an entry; that of a whole scope replaces those of its single names. One that is too large is not cached, and the entry
   * before it is removed.
   */
  set(scope: string, snapshot: Snapshot): void {
    const key = entryKeyOf(scope, snapshot.only);
    if (snapshot.only === undefined)
      for (const [nameKey] of this.#namesOf(scope)) this.#entries.delete(nameKey);
    if (snapshot.only === undefined) this.#scopesWithNames.delete(scope);
    else this.#scopesWithNames.set(scope, true);
    this.#entries.set(key, snapshot);
    if (this.#entries.peek(key) !== snapshot) wipeSoon(snapshot);
  }

  /** Removes the entry of a scope. */
  delete(scope: string): void {
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
      const minAtMs = this.time.nowMs() - this.options.maxStaleMs;
      for (const [key, { time }] of [...this.#entries.entries()])
        if (time.atMs < minAtMs) this.#entries.delete(key);
      this.#sweepLater();
    });
  }

  #namesOf(scope: string): readonly (readonly [key: string, snapshot: Snapshot])[] {
    if (!this.#scopesWithNames.has(scope)) return [];
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

/** Wipes in a later turn of the event loop: callers that waited for this read take its answer in the present one. */
function wipeSoon(snapshot: Snapshot): void {
  setImmediate(() => snapshot.wipe());
}
