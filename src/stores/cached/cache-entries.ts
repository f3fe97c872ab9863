import { LRUCache } from 'lru-cache';
import { StoreUnreachable, isOutOfTime } from '../../errors/store-errors';
import type { ReadReport } from '../../secrets/secret-store';
import type { MonotonicTime } from '../../time/clock';
import { afterWaiting } from '../../secrets/secret-store-decorator';
import type { Snapshot } from './snapshot';

/** How a read was answered: from memory, by the store, or from memory because the store could not be asked. */
export type ReadOutcome = 'hit' | 'miss' | 'stale';

export interface CacheFigures {
  readonly entries: number;
  readonly bytes: number;
}

/** Whoever wants to know how the cache does. */
export interface CacheObserver {
  opened(figures: () => CacheFigures): void;
  read(outcome: ReadOutcome): void;
  evicted(): void;
}

const MAX_INDETERMINATE_SCOPES = 1_000;

interface IndeterminateWrites {
  readonly names: Set<string>;
  /** The epoch of the last doubtful write. */
  since: number;
}

/** Names whose last write may or may not have happened: nothing is told of them but what the store itself says since. */
export class IndeterminateNames {
  readonly #ofScope = new LRUCache<string, IndeterminateWrites>({ max: MAX_INDETERMINATE_SCOPES });

  add(scope: string, name: string, since: number): void {
    const indeterminate = this.#ofScope.get(scope) ?? { names: new Set<string>(), since };
    indeterminate.names.add(name);
    indeterminate.since = since;
    this.#ofScope.set(scope, indeterminate);
  }

  /** The scope was read as of this epoch: if that was after the write, what it showed is how it ended. */
  settle(scope: string, generationAtStart: number): void {
    const indeterminate = this.#ofScope.get(scope);
    if (indeterminate !== undefined && generationAtStart >= indeterminate.since) this.#ofScope.delete(scope);
  }

  /** @param name any of the scope where it is not given */
  has(scope: string, name?: string): boolean {
    const indeterminate = this.#ofScope.get(scope);
    return indeterminate !== undefined && (name === undefined || indeterminate.names.has(name));
  }

  /** Whoever looks how a write ended is told what the store says, or that it cannot be asked. */
  unless(scope: string, name: string | undefined, report: ReadReport | undefined): ReadReport {
    return {
      servedStale: (ageMs) => {
        if (this.has(scope, name)) throw new StoreUnreachable();
        report?.servedStale(ageMs);
      },
    };
  }
}

/** How many scopes are remembered one by one; a write to any other is then taken to be as late as the latest forgotten one. */
const MAX_SCOPES = 100_000;

/**
 * Which of two comes first, the beginning of a read or the end of a write: what was read before the last write to its
 * scope ended is superseded, however late it arrives.
 */
export class ScopeGenerations {
  #now = 0;
  #forgotten = 0;
  /** Scopes in the order of their last write. */
  readonly #raised = new Map<string, number>();

  constructor(private readonly maxScopes = MAX_SCOPES) {}

  /** How many scopes are remembered one by one. */
  get remembered(): number {
    return this.#raised.size;
  }

  /** What a read that begins now is as of. */
  get now(): number {
    return this.#now;
  }

  /** A write to this scope ended. */
  raise(scope: string): void {
    this.#now += 1;
    this.#raised.delete(scope);
    this.#raised.set(scope, this.#now);
    if (this.#raised.size > this.maxScopes) this.#forgetOldest();
  }

  /** A write ended whose scope is not known. */
  raiseAll(): void {
    this.#now += 1;
    this.#forgotten = this.#now;
    this.#raised.clear();
  }

  /** Whether a write to this scope ended since a read that was as of then began. */
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

/** One read at a time of each thing: who comes while it runs shares its outcome, unless a write ended since it began. */
export class SharedReads<T> {
  readonly #running = new Map<string, Running<T>>();

  constructor(
    private readonly generations: ScopeGenerations,
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
  ) {}

  run(
    scope: string,
    thing: string,
    read: (generationAtStart: number) => Promise<T>,
    sinceMs = this.time.nowMs(),
  ): Promise<T> {
    const running = this.#running.get(thing);
    if (running !== undefined && !this.generations.hasInvalidatedSince(scope, running.generationAtStart)) {
      // Whoever began it may have had less time than whoever joined it, and the oldest goes on first.
      return running.work.catch((error: unknown) => {
        if (!isOutOfTime(error)) throw error;
        return this.run(scope, thing, read, sinceMs);
      });
    }
    const generationAtStart = this.generations.now;
    const work = afterWaiting(this.time.nowMs() - sinceMs, () => read(generationAtStart));
    const mine = { generationAtStart, work: work.finally(() => this.#ended(thing, mine)) };
    this.#running.set(thing, mine);
    return mine.work;
  }

  #ended(thing: string, ended: Running<T>): void {
    if (this.#running.get(thing) === ended) this.#running.delete(thing);
  }
}

export interface CacheBounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** One snapshot alone may take this share of the room, so that no single workspace puts all others out. */
const LARGEST_SHARE = 1 / 4;

/** Snapshots by key, bounded by number and bytes; the least used goes first, and what goes is wiped. */
export class CacheEntries {
  readonly #kept: LRUCache<string, Snapshot>;

  constructor({ maxEntries, maxBytes }: CacheBounds, evicted: () => void) {
    this.#kept = new LRUCache<string, Snapshot>({
      max: maxEntries,
      maxSize: maxBytes,
      maxEntrySize: Math.max(1, Math.floor(maxBytes * LARGEST_SHARE)),
      sizeCalculation: ({ bytes }) => bytes,
      dispose: (snapshot, _key, why) => {
        wipeSoon(snapshot);
        if (why === 'evict') evicted();
      },
    });
  }

  get entries(): number {
    return this.#kept.size;
  }

  get bytes(): number {
    return this.#kept.calculatedSize;
  }

  get(key: string): Snapshot | undefined {
    return this.#kept.get(key);
  }

  /** What is kept of single names of a scope. */
  alone(scope: string): readonly (readonly [key: string, snapshot: Snapshot])[] {
    return [...this.#kept.entries()].filter(([key, { only }]) => only !== undefined && key.startsWith(scope));
  }

  /** One that is too large is not kept, nor is the one before it. */
  set(key: string, snapshot: Snapshot): void {
    this.#kept.set(key, snapshot);
    if (this.#kept.peek(key) !== snapshot) wipeSoon(snapshot);
  }

  /** Lets go of those that may not be served any more, whether anybody asks for them or not. */
  sweep(isOver: (key: string, snapshot: Snapshot) => boolean): void {
    for (const [key, snapshot] of [...this.#kept.entries()]) {
      if (isOver(key, snapshot)) this.#kept.delete(key);
    }
  }

  delete(key: string): void {
    this.#kept.delete(key);
  }

  clear(): void {
    this.#kept.clear();
  }
}

/** Not at once: whoever waited for this very read takes its answer in the same turn of the event loop. */
function wipeSoon(snapshot: Snapshot): void {
  setImmediate(() => snapshot.wipe());
}
