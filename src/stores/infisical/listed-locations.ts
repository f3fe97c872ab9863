import { LRUCache } from 'lru-cache';
import type { Clock } from '../../time/clock';
import type { SecretRow } from './secret-codec';
import { type ProjectEnvironment, duplicateNames, listBytes } from './api/secret-calls';

/** The result of the last list of a location that came, and how later ones failed. */
interface ListResult {
  readonly atMs: number;
  /** The names with duplicate rows in the last list that succeeded, however long ago; undefined where none has. */
  readonly duplicated: ReadonlySet<string> | undefined;
  readonly huge: boolean;
  /** Whether the list was larger than the limit of an answer. */
  readonly tooLarge: boolean;
  /** How many lists in a row did not come in time since then. */
  readonly timeouts: number;
}

const NEVER_LISTED: ListResult = {
  atMs: -Infinity,
  duplicated: undefined,
  huge: false,
  tooLarge: false,
  timeouts: 0,
};
/** One may be a stall of the server or of the network; the second in a row shows that the list itself is too slow. */
const MAX_TIMEOUTS = 2;

const MAX_LOCATIONS = 10_000;
/** How long a list is trusted to show all duplicate rows. Only other writers make them, such as people in the page, and rarely. */
const TRUSTED_MS = 600_000;
/** For a name in a larger list, retrieving it by name is cheaper. */
const HUGE_LIST_BYTES = 1_048_576;
const NONE: ReadonlySet<string> = new Set();
const MAX_INDETERMINATE = 10_000;
/** The servers cut a connection at 30 s and go on; what they have not stored after this time, they never will. */
const INDETERMINATE_MS = 120_000;

/** Remembers the result of the last list of each location for ten minutes; the least recently used locations are forgotten first. */
export class ListedLocations {
  readonly #results = new LRUCache<string, ListResult>({ max: MAX_LOCATIONS });
  readonly #beingListed = new Set<string>();
  /** When a create that may still be carried out has certainly ended, by location and name. */
  readonly #indeterminate = new LRUCache<string, number>({ max: MAX_INDETERMINATE });

  constructor(private readonly clock: Clock) {}

  /** Notes a list that came. Returns the names with duplicate rows. */
  listed(location: ProjectEnvironment, rows: readonly SecretRow[]): ReadonlySet<string> {
    const duplicated = duplicateNames(rows);
    this.#remember(location, {
      duplicated,
      huge: listBytes(rows) > HUGE_LIST_BYTES,
      tooLarge: false,
      timeouts: 0,
    });
    return duplicated;
  }

  /** Notes that the list has not changed since the last one. */
  unchanged(location: ProjectEnvironment): void {
    const result = this.last(location);
    if (result !== undefined) this.#remember(location, { ...result, timeouts: 0 });
  }

  /** Notes that a list was too large. No later one is expected to show duplicate rows either; known ones stay known. */
  tooLarge(location: ProjectEnvironment): void {
    const duplicated = this.last(location)?.duplicated ?? NONE;
    this.#remember(location, { duplicated, huge: true, tooLarge: true, timeouts: 0 });
  }

  /**
   * Notes that a list did not come in time; from the second in a row on names are read without one, as where it is too large.
   * @param before how many had not come when it began: lists that are waited for side by side count once, and no second one where another came meanwhile
   */
  timedOut(location: ProjectEnvironment, before: number): void {
    if ((this.last(location)?.timeouts ?? 0) < before) return;
    const result = { ...(this.last(location) ?? NEVER_LISTED), timeouts: before + 1 };
    if (isUnlistable(result)) this.#remember(location, result);
    else this.#results.set(locationKeyOf(location), result);
  }

  /** Notes that a read by name did not come in time either: then the lists before it may have been no slower than anything else. */
  stalled(location: ProjectEnvironment): void {
    const result = this.last(location);
    if (result === undefined || !isSlow(result)) return;
    this.#results.set(locationKeyOf(location), { ...result, atMs: -Infinity, timeouts: MAX_TIMEOUTS - 1 });
  }

  /** Returns whether a caller that wants one name can do without a list, as none can be had, or only a huge one. */
  isUnlistable(location: ProjectEnvironment): boolean {
    return isUnlistable(this.last(location) ?? NEVER_LISTED);
  }

  /** Notes that a create of this name may still be carried out beside another one, so that no list proves yet that it has a single row. */
  indeterminateCreate(location: ProjectEnvironment, name: string): void {
    this.#indeterminate.set(nameKeyOf(location, name), this.clock.nowMs() + INDETERMINATE_MS);
  }

  /** Notes that all rows of this name were deleted. */
  deleted(location: ProjectEnvironment, name: string): void {
    const result = this.last(location);
    if (result?.duplicated?.has(name) !== true) return;
    const duplicated = new Set([...result.duplicated].filter((other) => other !== name));
    this.#results.set(locationKeyOf(location), { ...result, duplicated });
  }

  forget(location: ProjectEnvironment): void {
    this.#results.delete(locationKeyOf(location));
  }

  last(location: ProjectEnvironment): ListResult | undefined {
    return this.#results.get(locationKeyOf(location));
  }

  /** Returns whether a recent list showed at most one row of this name. */
  hasSingleRow(location: ProjectEnvironment, name: string): boolean {
    const result = this.last(location);
    if (result === undefined || isSlow(result) || this.#isIndeterminate(location, name, result)) return false;
    return this.#isRecent(result) && result.duplicated?.has(name) === false;
  }

  /**
   * Returns whether to retrieve this name instead of listing: in a huge or slow location, unless the server would have to choose between
   * rows. A result expires, so that a location that shrank is listed again, by one caller and not by all of them.
   */
  isToReadByName(location: ProjectEnvironment, name: string): boolean {
    const result = this.last(location);
    if (result === undefined || !isUnlistable(result) || result.duplicated?.has(name) === true) return false;
    if (this.#isIndeterminate(location, name, result)) return false;
    return this.#isRecent(result) || this.#beingListed.has(locationKeyOf(location));
  }

  /** Notes that a list begins; the returned function notes its end. */
  beginListing(location: ProjectEnvironment): () => void {
    const key = locationKeyOf(location);
    this.#beingListed.add(key);
    return () => void this.#beingListed.delete(key);
  }

  #isIndeterminate(location: ProjectEnvironment, name: string, { atMs }: ListResult): boolean {
    return atMs < (this.#indeterminate.get(nameKeyOf(location, name)) ?? 0);
  }

  #remember(location: ProjectEnvironment, result: Omit<ListResult, 'atMs'>): void {
    this.#results.set(locationKeyOf(location), { ...result, atMs: this.clock.nowMs() });
  }

  /** After the clock was set back, nothing is recent. */
  #isRecent({ atMs }: ListResult): boolean {
    const ageMs = this.clock.nowMs() - atMs;
    return ageMs >= 0 && ageMs < TRUSTED_MS;
  }
}

function isUnlistable(result: ListResult): boolean {
  return result.huge || isSlow(result);
}

/** Returns whether the lists of a location that is not known to be huge do not come in time. */
function isSlow({ huge, timeouts }: ListResult): boolean {
  return !huge && timeouts >= MAX_TIMEOUTS;
}

function locationKeyOf({ projectId, environment }: ProjectEnvironment): string {
  return `${projectId} ${environment}`;
}

function nameKeyOf(location: ProjectEnvironment, name: string): string {
  return `${locationKeyOf(location)} ${name}`;
}
