import { LRUCache } from 'lru-cache';
import type { Clock } from '../../time/clock';
import type { SecretRow } from './api/answers';
import { type Room, doubledNames, listBytes } from './api/secret-calls';

/** What the last list of a room showed, or showed by never ending. */
interface Sight {
  readonly atMs: number;
  /** Undefined where no list could tell yet. */
  readonly doubled: ReadonlySet<string> | undefined;
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
const MAX_REMEMBERED_DOUBTS = 10_000;
/** The servers cut at 30 s and go on; what they have not stored by then, they will not store any more. */
const DOUBT_MS = 120_000;

/** Remembers of each room what its last list showed, for ten minutes; the least used rooms are forgotten first. */
export class ListedRooms {
  readonly #seen = new LRUCache<string, Sight>({ max: MAX_REMEMBERED_ROOMS });
  readonly #beingListed = new Set<string>();
  /** When a create that may still be carried out will certainly have ended. */
  readonly #doubts = new LRUCache<string, number>({ max: MAX_REMEMBERED_DOUBTS });

  constructor(private readonly clock: Clock) {}

  listed(room: Room, rows: readonly SecretRow[]): void {
    this.#remember(room, {
      doubled: doubledNames(rows),
      huge: listBytes(rows) > HUGE_LIST_BYTES,
      tooLarge: false,
    });
  }

  /** A list is as it was when it was last shown. */
  unchanged(room: Room): void {
    const seen = this.#seen.get(keyOf(room));
    if (seen !== undefined) this.#remember(room, seen);
  }

  /**
   * A list did not fit, or did not end in time; `for good`, there is no hope that another one tells of doubled names.
   * Those that were known stay known.
   */
  unlistable(
    room: Room,
    { forGood, tooLarge }: { readonly forGood: boolean; readonly tooLarge: boolean },
  ): void {
    const known = this.#seen.get(keyOf(room))?.doubled;
    this.#remember(room, { doubled: forGood ? (known ?? NONE) : known, huge: true, tooLarge });
  }

  /** A create of this name may still be carried out, beside another one: no list tells that it is single before it is. */
  createInDoubt(room: Room, name: string): void {
    this.#doubts.set(nameKeyOf(room, name), this.clock.nowMs() + DOUBT_MS);
  }

  /** All rows of this name were deleted. */
  deleted(room: Room, name: string): void {
    const seen = this.#seen.get(keyOf(room));
    if (seen?.doubled?.has(name) !== true) return;
    const doubled = new Set([...seen.doubled].filter((other) => other !== name));
    this.#seen.set(keyOf(room), { ...seen, doubled });
  }

  forget(room: Room): void {
    this.#seen.delete(keyOf(room));
  }

  isHuge(room: Room): boolean {
    return this.#seen.get(keyOf(room))?.huge === true;
  }

  isTooLarge(room: Room): boolean {
    return this.#seen.get(keyOf(room))?.tooLarge === true;
  }

  /** Whether the last list that told showed this name more than once, however long ago. */
  isDoubled(room: Room, name: string): boolean {
    return this.#seen.get(keyOf(room))?.doubled?.has(name) === true;
  }

  /** Whether a recent list showed this name at most once. */
  hasSingle(room: Room, name: string): boolean {
    const seen = this.#seen.get(keyOf(room));
    if (seen === undefined || this.#isInDoubt(room, name, seen)) return false;
    return this.#isRecent(seen) && seen.doubled?.has(name) === false;
  }

  /**
   * Whether to look this name up by itself: in a huge room, but not where the server would have to choose between
   * rows. What is known ages, so that a room that shrank is listed again; one caller does that, not all of them.
   */
  isToReadByName(room: Room, name: string): boolean {
    const seen = this.#seen.get(keyOf(room));
    if (seen?.huge !== true || this.isDoubled(room, name) || this.#isInDoubt(room, name, seen)) return false;
    return this.#isRecent(seen) || this.#beingListed.has(keyOf(room));
  }

  async whileListing<T>(room: Room, list: () => Promise<T>): Promise<T> {
    const key = keyOf(room);
    this.#beingListed.add(key);
    try {
      return await list();
    } finally {
      this.#beingListed.delete(key);
    }
  }

  #isInDoubt(room: Room, name: string, { atMs }: Sight): boolean {
    return atMs < (this.#doubts.get(nameKeyOf(room, name)) ?? 0);
  }

  #remember(room: Room, sight: Omit<Sight, 'atMs'>): void {
    this.#seen.set(keyOf(room), { ...sight, atMs: this.clock.nowMs() });
  }

  /** A clock that was set back makes nothing recent. */
  #isRecent({ atMs }: Sight): boolean {
    const ageMs = this.clock.nowMs() - atMs;
    return ageMs >= 0 && ageMs < TRUSTED_MS;
  }
}

function keyOf({ projectId, environment }: Room): string {
  return `${projectId} ${environment}`;
}

function nameKeyOf(room: Room, name: string): string {
  return `${keyOf(room)} ${name}`;
}
