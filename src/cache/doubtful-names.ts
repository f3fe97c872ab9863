import { LRUCache } from 'lru-cache';
import { StoreUnreachable } from '../errors/store-errors';
import type { ReadReport } from '../secrets/read-report';

const MAX_SCOPES = 1_000;

interface Doubt {
  readonly names: Set<string>;
  /** The epoch of the last doubtful write. */
  since: number;
}

/** Names whose last write may or may not have happened: nothing is told of them but what the store itself says since. */
export class DoubtfulNames {
  readonly #ofScope = new LRUCache<string, Doubt>({ max: MAX_SCOPES });

  add(scope: string, name: string, since: number): void {
    const doubt = this.#ofScope.get(scope) ?? { names: new Set<string>(), since };
    doubt.names.add(name);
    doubt.since = since;
    this.#ofScope.set(scope, doubt);
  }

  /** The scope was read as of this epoch: if that was after the write, what it showed is how it ended. */
  settle(scope: string, asOf: number): void {
    const doubt = this.#ofScope.get(scope);
    if (doubt !== undefined && asOf >= doubt.since) this.#ofScope.delete(scope);
  }

  /** @param name any of the scope where it is not given */
  has(scope: string, name?: string): boolean {
    const doubt = this.#ofScope.get(scope);
    return doubt !== undefined && (name === undefined || doubt.names.has(name));
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
