import { LRUCache } from 'lru-cache';
import type { Snapshot } from './snapshot';

export interface CacheBounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** One snapshot alone may take this share of the room, so that no single workspace puts all others out. */
const LARGEST_SHARE = 1 / 4;

/** Snapshots by key, bounded by number and bytes; the least used goes first, and what goes is wiped. */
export class KeptSnapshots {
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
