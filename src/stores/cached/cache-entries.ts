import { LRUCache } from 'lru-cache';
import { StoreUnreachable, isOutOfTime } from '../../errors/store-errors';
import type { ReadReport } from '../../secrets/secret-store';
import type { MonotonicTime } from '../../time/clock';
import { afterWaiting } from '../../secrets/secret-store-decorator';
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

  /** Returns a report that refuses a stale answer about such a name. @throws StoreUnreachable from the report */
  refusingStale(scope: string, name: string | undefined, report: ReadReport | undefined): ReadReport {
    return {
      servedStale: (ageMs) => {
        if (this.has(scope, name)) throw new StoreUnreachable();
        report?.servedStale(ageMs);
      },
    };
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
    if (this.#raised.size > this.maxScopes) this.#forgetOldest();
  }

  /** Notes that a write to an unknown scope ended. */
  raiseAll(): void {
    this.#now += 1;
    this.#forgotten = this.#now;
    this.#raised.clear();
  }

  /** Returns whether a write to this scope ended since a read of that generation began. */
  hasInvalidatedSince(scope: string, generationAtStart: number): boolean {
    return generationAtStart < (this.#raised.get(scope) ?? this.#forgotten);
  }

  #forgetOldest(): void {
    for (const [scope, generation] of this.#raised) {
      this.#raised.delete(scope);
      this.#forgotten = generation;
      return;
    }
  }
}

interface Running<T> {
  readonly generationAtStart: number;
  readonly work: Promise<T>;
}

/** Shares a running read of one key with later callers, unless a write ended since it began. */
export class SharedReads<T> {
  readonly #running = new Map<string, Running<T>>();

  constructor(
    private readonly generations: ScopeGenerations,
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
  ) {}

  run(
    scope: string,
    key: string,
    read: (generationAtStart: number) => Promise<T>,
    sinceMs = this.time.nowMs(),
  ): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined && !this.generations.hasInvalidatedSince(scope, running.generationAtStart)) {
      // The caller that began the read may have had less time than one that joined it; the oldest of those begins a new one.
      return running.work.catch((error: unknown) => {
        if (!isOutOfTime(error)) throw error;
        return this.run(scope, key, read, sinceMs);
      });
    }
    const generationAtStart = this.generations.now;
    const work = afterWaiting(this.time.nowMs() - sinceMs, () => read(generationAtStart)).finally(() => {
      if (this.#running.get(key) === own) this.#running.delete(key);
    });
    const own = { generationAtStart, work };
    this.#running.set(key, own);
    return work;
  }
}

export interface CacheBounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** The share of the cache that one entry may take, so that no single workspace evicts all others. */
const MAX_ENTRY_SHARE = 1 / 4;

/** Snapshots by key, bounded by number and bytes. The least recently used one is evicted first, and wiped. */
export class CacheEntries {
  readonly #entries: LRUCache<string, Snapshot>;

  constructor({ maxEntries, maxBytes }: CacheBounds, evicted: () => void) {
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
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get(key: string): Snapshot | undefined {
    return this.#entries.get(key);
  }

  /** Returns the entries of single names of a scope. */
  namesOf(scope: string): readonly (readonly [key: string, snapshot: Snapshot])[] {
    const isOfScope = ([key, { only }]: [string, Snapshot]) => only !== undefined && key.startsWith(scope);
    return [...this.#entries.entries()].filter(isOfScope);
  }

  /** Sets an entry. One that is too large is not cached, and the entry before it is removed. */
  set(key: string, snapshot: Snapshot): void {
    this.#entries.set(key, snapshot);
    if (this.#entries.peek(key) !== snapshot) wipeSoon(snapshot);
  }

  /** Removes expired entries, which no read may ever ask for again. */
  sweep(isExpired: (snapshot: Snapshot) => boolean): void {
    for (const [key, snapshot] of [...this.#entries.entries()]) {
      if (isExpired(snapshot)) this.#entries.delete(key);
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** Wipes in a later turn of the event loop: callers that waited for this read take its answer in the present one. */
function wipeSoon(snapshot: Snapshot): void {
  setImmediate(() => snapshot.wipe());
}
