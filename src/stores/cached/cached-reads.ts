import { LRUCache } from 'lru-cache';
import { isUnreachable, ListTooLarge, StoreUnavailable } from '../../errors/store-errors';
import type { ReadReport } from '../../secrets/secret-store';
import type { MonotonicTime } from '../../time/clock';
import {
  type CacheBounds,
  CacheEntries,
  type CacheObserver,
  ScopeGenerations,
  SharedReads,
} from './cache-entries';
import { Snapshot, type SnapshotTime } from './snapshot';

/** How long a read waits for the store where there is a cached entry that may be served stale. */
const MAX_WAIT_MS = 500;
const SWEEP_EVERY_MS = 10_000;

export interface CachedRead {
  readonly scope: string;
  /** Reads the entry of this single name; without it, the entry of the scope. */
  readonly name?: string;
  /** The single name whose entry is used where the scope has none. */
  readonly fallbackName?: string;
  /** Returns how old an entry may be before it is read again. */
  readonly ttlMs: (entry: Snapshot) => number;
  /** Reads from the store, or confirms and returns the cached entry. @throws DomainError */
  readonly read: (time: SnapshotTime, cached: Snapshot | undefined) => Promise<Snapshot>;
}

export interface CachedReadsOptions extends CacheBounds {
  /** How old an entry may be that is served while the store is unreachable. */
  readonly maxStaleMs: number;
}

/** Caches reads: entries are read again after their time to live, invalidated by writes, and served stale for a while in an outage. */
export class CachedReads {
  readonly #generations = new ScopeGenerations();
  readonly #shared: SharedReads<Snapshot>;
  readonly #entries: CacheEntries;
  /** Scopes that have entries of single names. */
  readonly #scopesWithNames: LRUCache<string, true>;
  #lastAnswerMs = -Infinity;
  #cancelSweep: () => void = () => undefined;

  constructor(
    private readonly options: CachedReadsOptions,
    private readonly time: MonotonicTime,
    private readonly observer: CacheObserver | undefined,
  ) {
    this.#shared = new SharedReads(this.#generations, time);
    this.#entries = new CacheEntries(options, () => observer?.evicted());
    this.#scopesWithNames = new LRUCache({ max: options.maxEntries });
    observer?.opened(() => ({ entries: this.#entries.size, bytes: this.#entries.bytes }));
    this.#sweepLater();
  }

  /** Returns the entry of a scope, if it may be served without a call to the store. */
  fresh(scope: string, ttlMs: number): Snapshot | undefined {
    const entry = this.#valid({ scope });
    return entry !== undefined && this.#isFresh(entry, ttlMs) ? entry : undefined;
  }

  /** Returns a fresh entry, or reads from the store, or returns a stale entry where the store is unreachable. @throws DomainError */
  async get(wanted: CachedRead, report: ReadReport | undefined): Promise<Snapshot> {
    const cached = this.#valid(wanted);
    if (cached !== undefined && this.#isFresh(cached, wanted.ttlMs(cached))) {
      this.observer?.read('hit');
      return cached;
    }
    const key = entryKeyOf(wanted.scope, wanted.name);
    const reading = this.#shared.run(wanted.scope, key, (generationAtStart) =>
      this.#read(wanted, generationAtStart, cached),
    );
    const fresh = await (this.#mayServeStale(cached) ? this.#unlessUnreachable(reading) : reading);
    if (fresh !== undefined) {
      this.observer?.read('miss');
      return fresh;
    }
    const stale = this.#valid(wanted);
    if (!this.#mayServeStale(stale)) return reading;
    this.observer?.read('stale');
    report?.servedStale(this.#ageMs(stale));
    return stale;
  }

  /** Invalidates the entries of a scope after a write to it; all entries where it is unknown which scope was written to. */
  invalidate(scope?: string): void {
    if (scope === undefined) {
      this.#generations.raiseAll();
      this.#entries.clear();
      return;
    }
    this.#generations.raise(scope);
    this.#entries.delete(entryKeyOf(scope));
  }

  /**
   * Applies a successful write of ours to the entry of its scope. The entry is confirmed by the store before it is served, unless
   * the store is unreachable. `value` is undefined where the name was deleted.
   */
  applyWrite(scope: string, name: string, value: string | undefined): void {
    const entry = this.#valid({ scope });
    if (entry !== undefined && !entry.isWiped) {
      this.#generations.raise(scope);
      this.#set(scope, entry.withWrite(name, value, this.#generations.now));
      return;
    }
    const generationAtStart = this.markIndeterminate(scope);
    const secrets = value === undefined ? [] : [{ name, value }];
    const time = { generationAtStart, atMs: this.time.nowMs() };
    const written = new Snapshot({ only: name, unreadable: new Set() }, secrets, time);
    written.markIndeterminate(generationAtStart);
    this.#set(scope, written);
  }

  /**
   * Notes that a write to this scope may have happened: its entries must be confirmed, and are served unconfirmed only while the store
   * is unreachable. Returns the generation since which reads show how the write ended.
   */
  markIndeterminate(scope: string): number {
    const entries = [this.#valid({ scope }), ...this.#validNames(scope)];
    this.#generations.raise(scope);
    for (const entry of entries) entry?.markIndeterminate(this.#generations.now);
    return this.#generations.now;
  }

  /** Returns whether a valid entry contains this name. */
  contains(scope: string, name: string): boolean {
    return this.#valid({ scope, fallbackName: name })?.has(name) === true;
  }

  /** Notes that the store has just answered. */
  answered(): void {
    this.#lastAnswerMs = this.time.nowMs();
  }

  /** Whether reads can be answered from the cache although the store is unreachable for a moment. */
  get canServeAlone(): boolean {
    return this.#entries.size > 0 && this.time.nowMs() - this.#lastAnswerMs <= this.options.maxStaleMs;
  }

  close(): void {
    this.#cancelSweep();
    this.#entries.clear();
  }

  /** Reads from the store. A failed read leaves the entries as they are, unless the store itself refused it. */
  async #read(wanted: CachedRead, generationAtStart: number, cached?: Snapshot): Promise<Snapshot> {
    try {
      const snapshot = await wanted.read({ generationAtStart, atMs: this.time.nowMs() }, cached);
      this.answered();
      if (!this.#generations.hasInvalidatedSince(wanted.scope, generationAtStart)) {
        this.#set(wanted.scope, snapshot);
      }
      return snapshot;
    } catch (error: unknown) {
      const isRefused = error instanceof StoreUnavailable && !isUnreachable(error);
      if (isRefused || error instanceof ListTooLarge) this.invalidate(wanted.scope);
      throw error;
    }
  }

  /** Sets an entry. The entry of a whole scope replaces those of its single names. */
  #set(scope: string, snapshot: Snapshot): void {
    if (snapshot.only !== undefined) this.#scopesWithNames.set(scope, true);
    else if (this.#scopesWithNames.delete(scope))
      for (const [key] of this.#entries.namesOf(scope)) this.#entries.delete(key);
    this.#entries.set(entryKeyOf(scope, snapshot.only), snapshot);
  }

  /** Returns the entry, unless a write has invalidated it. */
  #valid({
    scope,
    name,
    fallbackName,
  }: Pick<CachedRead, 'scope' | 'name' | 'fallbackName'>): Snapshot | undefined {
    const entry = this.#entries.get(entryKeyOf(scope, name));
    if (entry !== undefined && this.#isValid(scope, entry)) return entry;
    return fallbackName === undefined ? undefined : this.#valid({ scope, name: fallbackName });
  }

  #validNames(scope: string): readonly Snapshot[] {
    if (!this.#scopesWithNames.has(scope)) return [];
    const entries = this.#entries.namesOf(scope).map(([, entry]) => entry);
    return entries.filter((entry) => this.#isValid(scope, entry));
  }

  #isValid(scope: string, { time }: Snapshot): boolean {
    return !this.#generations.hasInvalidatedSince(scope, time.generationAtStart);
  }

  #isFresh(entry: Snapshot, ttlMs: number): boolean {
    return !entry.isIndeterminate && this.#ageMs(entry) <= ttlMs;
  }

  #mayServeStale(entry: Snapshot | undefined): entry is Snapshot {
    return entry !== undefined && this.#ageMs(entry) <= this.options.maxStaleMs;
  }

  /** Returns undefined where the store is unreachable or slow. The read goes on for the next caller. */
  async #unlessUnreachable(reading: Promise<Snapshot>): Promise<Snapshot | undefined> {
    let cancel: () => void = () => undefined;
    const tooSlow = new Promise<undefined>((resolve) => {
      cancel = this.time.after(MAX_WAIT_MS, () => resolve(undefined));
    });
    try {
      return await Promise.race([reading.catch(undefinedIfUnreachable), tooSlow]);
    } finally {
      cancel();
    }
  }

  #ageMs({ time }: Snapshot): number {
    return this.time.nowMs() - time.atMs;
  }

  #sweepLater(): void {
    this.#cancelSweep = this.time.after(SWEEP_EVERY_MS, () => {
      this.#entries.sweep((entry) => !this.#mayServeStale(entry));
      this.#sweepLater();
    });
  }
}

/** A scope's key is JSON, so no key is the beginning of another. */
function entryKeyOf(scope: string, name?: string): string {
  return name === undefined ? scope : `${scope}${name}`;
}

function undefinedIfUnreachable(error: unknown): undefined {
  if (isUnreachable(error)) return undefined;
  throw error;
}
