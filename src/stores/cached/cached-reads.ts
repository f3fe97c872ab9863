import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';
import { isUnreachable, ListTooLarge, StoreUnavailable } from '../../errors/store-errors';
import type { ReadReport } from '../../secrets/secret-store';
import {
  type CacheObserver,
  CacheEntries,
  type CacheBounds,
  ScopeGenerations,
  SharedReads,
} from './cache-entries';
import { Snapshot, type Moment } from './snapshot';

/** A store that takes longer than this to confirm what is kept is not waited for. */
const PATIENCE_MS = 500;
const SWEEP_EVERY_MS = 10_000;

export interface Wanted {
  readonly scope: string;
  /** What is kept of one name by itself is looked at, where there is a name; else what is kept of the scope. */
  readonly name?: string;
  /** Of a scope of which nothing is kept, what is kept of this name by itself will do. */
  readonly orOf?: string;
  /** How old it may be; what is older is read again. */
  readonly ttlMs: (snapshot: Snapshot) => number;
  /** As of the moment that is handed in. What is kept may be confirmed and be the answer. @throws DomainError */
  readonly read: (moment: Moment, kept: Snapshot | undefined) => Promise<Snapshot>;
}

export interface CachedReadsOptions extends CacheBounds {
  /** How old something may be that is served where the store cannot be asked. */
  readonly maxStaleMs: number;
}

/** Reads that are kept: asked for again when their time is up, superseded by writes, and served stale for a while in need. */
export class CachedReads {
  readonly #generations = new ScopeGenerations();
  readonly #shared: SharedReads<Snapshot>;
  readonly #kept: CacheEntries;
  /** Scopes of which names are kept by themselves. */
  readonly #alone: LRUCache<string, true>;
  #lastAnswerMs = -Infinity;
  #cancelSweep: () => void = () => undefined;

  constructor(
    private readonly options: CachedReadsOptions,
    private readonly time: MonotonicTime,
    private readonly observer: CacheObserver | undefined,
  ) {
    this.#shared = new SharedReads(this.#generations, time);
    this.#kept = new CacheEntries(options, () => observer?.evicted());
    this.#alone = new LRUCache({ max: options.maxEntries });
    observer?.opened(() => ({ entries: this.#kept.entries, bytes: this.#kept.bytes }));
    this.#sweepLater();
  }

  /** What is kept of a scope, if it may be served without asking. */
  fresh(scope: string, ttlMs: number): Snapshot | undefined {
    const kept = this.#current({ scope });
    return kept !== undefined && this.#isFresh(kept, ttlMs) ? kept : undefined;
  }

  async get(wanted: Wanted, report: ReadReport | undefined): Promise<Snapshot> {
    const kept = this.#current(wanted);
    if (kept !== undefined && this.#isFresh(kept, wanted.ttlMs(kept))) {
      this.observer?.read('hit');
      return kept;
    }
    const reading = this.#shared.run(
      wanted.scope,
      readKeyOf(wanted.scope, wanted.name),
      (generationAtStart) => this.#read(wanted, generationAtStart, kept),
    );
    const fresh = await (this.#mayServe(kept) ? this.#unlessUnreachable(reading) : reading);
    if (fresh !== undefined) {
      this.observer?.read('miss');
      return fresh;
    }
    const stale = this.#current(wanted);
    if (!this.#mayServe(stale)) return reading;
    this.observer?.read('stale');
    report?.servedStale(this.#ageMs(stale));
    return stale;
  }

  /** A write to this scope ended, or nobody knows which: what was read before it is not served any more. */
  invalidate(scope?: string): void {
    if (scope === undefined) {
      this.#generations.raiseAll();
      this.#kept.clear();
      return;
    }
    this.#generations.raise(scope);
    this.#kept.delete(readKeyOf(scope));
  }

  /**
   * A write of ours to this scope ended well: what was read before it is asked for again, and where the store cannot be asked,
   * what is kept is served with the write in it. `value` is undefined where the name was deleted.
   */
  carry(scope: string, name: string, value: string | undefined): void {
    const kept = this.#current({ scope });
    if (kept !== undefined && !kept.isWiped) {
      this.#generations.raise(scope);
      this.#keep(scope, kept.after(name, value, this.#generations.now));
      return;
    }
    const generationAtStart = this.indeterminate(scope);
    const secrets = value === undefined ? [] : [{ name, value }];
    const moment = { generationAtStart, atMs: this.time.nowMs() };
    const written = new Snapshot({ only: name, unreadable: new Set() }, secrets, moment);
    written.indeterminate(generationAtStart);
    this.#keep(scope, written);
  }

  /**
   * A write to this scope may have happened: what is kept must be confirmed, and is all there is where it cannot be.
   * Reads as of the epoch that is answered, or later, show how it ended.
   */
  indeterminate(scope: string): number {
    const kept = [this.#current({ scope }), ...this.#currentAlone(scope)];
    this.#generations.raise(scope);
    for (const snapshot of kept) snapshot?.indeterminate(this.#generations.now);
    return this.#generations.now;
  }

  /** Whether what is kept of the scope shows this name. */
  shows(scope: string, name: string): boolean {
    return this.#current({ scope, orOf: name })?.has(name) === true;
  }

  answered(): void {
    this.#lastAnswerMs = this.time.nowMs();
  }

  /** Whether reads can be answered although the store has not been heard of for a moment. */
  get canServeAlone(): boolean {
    return this.#kept.entries > 0 && this.time.nowMs() - this.#lastAnswerMs <= this.options.maxStaleMs;
  }

  close(): void {
    this.#cancelSweep();
    this.#kept.clear();
  }

  /** What a read that failed says of what is kept: nothing, unless the store itself refused it. */
  async #read(wanted: Wanted, generationAtStart: number, kept: Snapshot | undefined): Promise<Snapshot> {
    try {
      const snapshot = await wanted.read({ generationAtStart, atMs: this.time.nowMs() }, kept);
      this.answered();
      if (!this.#generations.hasInvalidatedSince(wanted.scope, generationAtStart)) {
        this.#keep(wanted.scope, snapshot);
      }
      return snapshot;
    } catch (error: unknown) {
      const isRefused = error instanceof StoreUnavailable && !isUnreachable(error);
      if (isRefused || error instanceof ListTooLarge) this.invalidate(wanted.scope);
      throw error;
    }
  }

  /** What was read of all names takes the place of what was kept of single ones. */
  #keep(scope: string, snapshot: Snapshot): void {
    if (snapshot.only !== undefined) this.#alone.set(scope, true);
    else if (this.#alone.delete(scope)) for (const [key] of this.#kept.alone(scope)) this.#kept.delete(key);
    this.#kept.set(readKeyOf(scope, snapshot.only), snapshot);
  }

  #current({ scope, name, orOf }: Pick<Wanted, 'scope' | 'name' | 'orOf'>): Snapshot | undefined {
    const snapshot = this.#kept.get(readKeyOf(scope, name));
    if (
      snapshot !== undefined &&
      !this.#generations.hasInvalidatedSince(scope, snapshot.read.generationAtStart)
    )
      return snapshot;
    return orOf === undefined ? undefined : this.#current({ scope, name: orOf });
  }

  #currentAlone(scope: string): readonly Snapshot[] {
    if (!this.#alone.has(scope)) return [];
    return this.#kept
      .alone(scope)
      .map(([, snapshot]) => snapshot)
      .filter(({ read }) => !this.#generations.hasInvalidatedSince(scope, read.generationAtStart));
  }

  #isFresh(kept: Snapshot, ttlMs: number): boolean {
    return !kept.isIndeterminate && this.#ageMs(kept) <= ttlMs;
  }

  #mayServe(kept: Snapshot | undefined): kept is Snapshot {
    return kept !== undefined && this.#ageMs(kept) <= this.options.maxStaleMs;
  }

  /** Undefined where the store does not answer, or not soon; the read goes on for whoever comes next. */
  async #unlessUnreachable(reading: Promise<Snapshot>): Promise<Snapshot | undefined> {
    let cancel: () => void = () => undefined;
    const waitLimit = new Promise<undefined>((resolve) => {
      cancel = this.time.after(PATIENCE_MS, () => resolve(undefined));
    });
    try {
      return await Promise.race([reading.catch(undefinedIfUnreachable), waitLimit]);
    } finally {
      cancel();
    }
  }

  #ageMs({ read }: Snapshot): number {
    return this.time.nowMs() - read.atMs;
  }

  #sweepLater(): void {
    this.#cancelSweep = this.time.after(SWEEP_EVERY_MS, () => {
      this.#kept.sweep((_key, snapshot) => !this.#mayServe(snapshot));
      this.#sweepLater();
    });
  }
}

/** A scope's key is JSON, so that none is the beginning of another. */
function readKeyOf(scope: string, name?: string): string {
  return name === undefined ? scope : `${scope}${name}`;
}

function undefinedIfUnreachable(error: unknown): undefined {
  if (isUnreachable(error)) return undefined;
  throw error;
}
