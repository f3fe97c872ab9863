import { LRUCache } from 'lru-cache';
import type { Clock } from '../../time/clock';
import type { SecretRow } from './api/answers';
import { type ProjectEnvironment, duplicateNames, listBytes } from './api/secret-calls';

/** What the last list of a room showed, or showed by never ending. */
interface Sight {
  readonly atMs: number;
  /** Undefined where no list could tell yet. */
  readonly duplicated: ReadonlySet<string> | undefined;
  readonly huge: boolean;
  /** Above what is taken of an answer. */
  readonly tooLarge: boolean;
}

const MAX_REMEMBERED_ROOMS = 10_000;
/** Names are doubled by writers outside of this process only, as by hand in the page: rare, and never quick to matter. */
const TRUSTED_MS = 600_000;
/** A list above this costs more than what it saves: one name is looked up by itself. */
const HUGE_LIST_BYTES = 1_048_576;
const NONE: ReadonlySet<string> = new Set();
const MAX_INDETERMINATE = 10_000;
/** The servers cut at 30 s and go on; what they have not stored by then, they will not store any more. */
const INDETERMINATE_MS = 120_000;

/** Remembers of each room what its last list showed, for ten minutes; the least used rooms are forgotten first. */
export class ListedLocations {
  readonly #seen = new LRUCache<string, Sight>({ max: MAX_REMEMBERED_ROOMS });
  readonly #beingListed = new Set<string>();
  /** When a create that may still be carried out will certainly have ended. */
  readonly #indeterminate = new LRUCache<string, number>({ max: MAX_INDETERMINATE });

  constructor(private readonly clock: Clock) {}

  listed(location: ProjectEnvironment, rows: readonly SecretRow[]): void {
    this.#remember(location, {
      duplicated: duplicateNames(rows),
      huge: listBytes(rows) > HUGE_LIST_BYTES,
      tooLarge: false,
    });
  }

  /** A list is as it was when it was last shown. */
  unchanged(location: ProjectEnvironment): void {
    const seen = this.#seen.get(locationKeyOf(location));
    if (seen !== undefined) this.#remember(location, seen);
  }

  /**
   * A list did not fit, or did not end in time; `for good`, there is no hope that another one tells of doubled names.
   * Those that were known stay known.
   */
  unlistable(
    location: ProjectEnvironment,
    { forGood, tooLarge }: { readonly forGood: boolean; readonly tooLarge: boolean },
  ): void {
    const known = this.#seen.get(locationKeyOf(location))?.duplicated;
    this.#remember(location, { duplicated: forGood ? (known ?? NONE) : known, huge: true, tooLarge });
  }

  /** A create of this name may still be carried out, beside another one: no list tells that it is single before it is. */
  indeterminateCreate(location: ProjectEnvironment, name: string): void {
    this.#indeterminate.set(nameKeyOf(location, name), this.clock.nowMs() + INDETERMINATE_MS);
  }

  /** All rows of this name were deleted. */
  deleted(location: ProjectEnvironment, name: string): void {
    const seen = this.#seen.get(locationKeyOf(location));
    if (seen?.duplicated?.has(name) !== true) return;
    const duplicated = new Set([...seen.duplicated].filter((other) => other !== name));
    this.#seen.set(locationKeyOf(location), { ...seen, duplicated });
  }

  forget(location: ProjectEnvironment): void {
    this.#seen.delete(locationKeyOf(location));
  }

  isHuge(location: ProjectEnvironment): boolean {
    return this.#seen.get(locationKeyOf(location))?.huge === true;
  }

  isTooLarge(location: ProjectEnvironment): boolean {
    return this.#seen.get(locationKeyOf(location))?.tooLarge === true;
  }

  /** Whether the last list that told showed this name more than once, however long ago. */
  isDuplicated(location: ProjectEnvironment, name: string): boolean {
    return this.#seen.get(locationKeyOf(location))?.duplicated?.has(name) === true;
  }

  /** Whether a recent list showed this name at most once. */
  hasSingle(location: ProjectEnvironment, name: string): boolean {
    const seen = this.#seen.get(locationKeyOf(location));
    if (seen === undefined || this.#isIndeterminate(location, name, seen)) return false;
    return this.#isRecent(seen) && seen.duplicated?.has(name) === false;
  }

  /**
   * Whether to look this name up by itself: in a huge room, but not where the server would have to choose between
   * rows. What is known ages, so that a room that shrank is listed again; one caller does that, not all of them.
   */
  isToReadByName(location: ProjectEnvironment, name: string): boolean {
    const seen = this.#seen.get(locationKeyOf(location));
    if (
      seen?.huge !== true ||
      this.isDuplicated(location, name) ||
      this.#isIndeterminate(location, name, seen)
    )
      return false;
    return this.#isRecent(seen) || this.#beingListed.has(locationKeyOf(location));
  }

  async whileListing<T>(location: ProjectEnvironment, list: () => Promise<T>): Promise<T> {
    const key = locationKeyOf(location);
    this.#beingListed.add(key);
    try {
      return await list();
    } finally {
      this.#beingListed.delete(key);
    }
  }

  #isIndeterminate(location: ProjectEnvironment, name: string, { atMs }: Sight): boolean {
    return atMs < (this.#indeterminate.get(nameKeyOf(location, name)) ?? 0);
  }

  #remember(location: ProjectEnvironment, sight: Omit<Sight, 'atMs'>): void {
    this.#seen.set(locationKeyOf(location), { ...sight, atMs: this.clock.nowMs() });
  }

  /** A clock that was set back makes nothing recent. */
  #isRecent({ atMs }: Sight): boolean {
    const ageMs = this.clock.nowMs() - atMs;
    return ageMs >= 0 && ageMs < TRUSTED_MS;
  }
}

function locationKeyOf({ projectId, environment }: ProjectEnvironment): string {
  return `${projectId} ${environment}`;
}

function nameKeyOf(location: ProjectEnvironment, name: string): string {
  return `${locationKeyOf(location)} ${name}`;
}
