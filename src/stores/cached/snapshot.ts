import type { Secret } from '../../secrets/secret';

/** What the maps and objects of one secret take beside its own bytes, roughly. */
const FRAME_BYTES = 160;

/** When a read began, in epochs of its scope and in milliseconds. */
export interface Moment {
  readonly generationAtStart: number;
  readonly atMs: number;
}

/** What a read says of names beyond the secrets that it holds. */
export interface Extent {
  /** The one name that was looked for; undefined where all names of the scope were. */
  readonly only?: string;
  readonly unreadable: ReadonlySet<string>;
  /** Where the store can be asked whether it still holds. */
  readonly revision?: string;
}

/**
 * What a read showed: the secrets of a scope, or one of its names. The values are kept in one block of memory of their
 * own, outside of the heap, which is overwritten when the snapshot is let go.
 */
export class Snapshot {
  #bytes: number;
  /** By name, where in the block. */
  readonly #positions = new Map<string, readonly [start: number, end: number]>();
  #block: Buffer | undefined;
  #read: Moment;
  #isIndeterminate = false;
  #holders = 0;
  #isLetGo = false;

  constructor(
    private readonly extent: Extent,
    secrets: readonly Secret[],
    read: Moment,
  ) {
    this.#read = read;
    const size = secrets.reduce((sum, { value }) => sum + Buffer.byteLength(value), 0);
    // Not of Node's pool, whose memory is shared with others.
    this.#block = Buffer.allocUnsafeSlow(size);
    let end = 0;
    for (const { name, value } of secrets) {
      const start = end;
      end += this.#block.write(value, start);
      this.#positions.set(name, [start, end]);
    }
    const names = secrets.reduce((sum, { name }) => sum + FRAME_BYTES + 2 * name.length, 0);
    this.#bytes = FRAME_BYTES + size + names;
  }

  /** What it takes in memory, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Returns what a read of the whole scope would show after a write of ours, as far as is known: it must be confirmed where that can be.
   * @param value undefined where the name was deleted
   */
  after(name: string, value: string | undefined, generationAtStart: number): Snapshot {
    const unreadable = new Set([...this.extent.unreadable].filter((other) => other !== name));
    const written = value === undefined ? [] : [{ name, value }];
    const next = new Snapshot({ unreadable }, written, { ...this.#read, generationAtStart });
    const own = next.#block;
    const parts = [...this.#positions.keys()]
      .filter((other) => other !== name)
      .map((other) => [other, this.#part(other)] as const);
    if (value !== undefined) parts.push([name, own ?? Buffer.alloc(0)]);
    next.#take(parts.sort(([one], [other]) => (one < other ? -1 : 1)));
    own?.fill(0);
    next.#isIndeterminate = true;
    return next;
  }

  /** Whether it tells of all names of its scope. */
  get isWhole(): boolean {
    return this.extent.only === undefined;
  }

  /** When it was read, or last confirmed. */
  get read(): Moment {
    return this.#read;
  }

  get revision(): string | undefined {
    return this.extent.revision;
  }

  /** The store said that nothing has changed. False where it was let go of meanwhile. */
  confirm(read: Moment): boolean {
    if (this.#block === undefined) return false;
    this.#read = read;
    this.#isIndeterminate = false;
    return true;
  }

  /** A write may have changed it: it counts as a read of this epoch still, but must be confirmed where that can be. */
  indeterminate(generationAtStart: number): void {
    this.#read = { ...this.#read, generationAtStart };
    this.#isIndeterminate = true;
  }

  get isIndeterminate(): boolean {
    return this.#isIndeterminate;
  }

  /** The one name that it tells of. */
  get only(): string | undefined {
    return this.extent.only;
  }

  tellsOf(name: string): boolean {
    return this.isWhole || this.extent.only === name;
  }

  get isEmpty(): boolean {
    return this.#positions.size === 0;
  }

  has(name: string): boolean {
    return this.#positions.has(name);
  }

  /** Of a name that is there and cannot be read, or of a list with one, the store itself must speak. */
  isUnreadable(name?: string): boolean {
    const { unreadable } = this.extent;
    return name === undefined ? unreadable.size > 0 : unreadable.has(name);
  }

  /** Names that are there and cannot be read. */
  get unreadable(): ReadonlySet<string> {
    return this.extent.unreadable;
  }

  /** Of its value; 0 where there is none. */
  bytesOf(name: string): number {
    const [start, end] = this.#positions.get(name) ?? [0, 0];
    return end - start;
  }

  secret(name: string): Secret | undefined {
    const place = this.#positions.get(name);
    return place === undefined ? undefined : { name, value: this.#text(place) };
  }

  /** In the order in which they were read. */
  *secrets(): Generator<Secret> {
    for (const [name, place] of this.#positions) yield { name, value: this.#text(place) };
  }

  get isWiped(): boolean {
    return this.#block === undefined;
  }

  /** What each name takes, itself included; of one that cannot be read, nothing more is known. */
  sizes(): ReadonlyMap<string, number> {
    const sizes = new Map<string, number>();
    for (const name of this.extent.unreadable) sizes.set(name, Buffer.byteLength(name));
    for (const [name, [start, end]] of this.#positions)
      sizes.set(name, Buffer.byteLength(name) + end - start);
    return sizes;
  }

  /** Overwrites the values, once nobody holds it. What was made of them for an answer before is the garbage collector's. */
  wipe(): void {
    this.#isLetGo = true;
    if (this.#holders > 0) return;
    this.#block?.fill(0);
    this.#block = undefined;
  }

  /** Keeps the values for a moment, until that which is returned is called. */
  hold(): () => void {
    this.#holders += 1;
    return () => {
      this.#holders -= 1;
      if (this.#isLetGo) this.wipe();
    };
  }

  #part(name: string): Buffer {
    const [start, end] = this.#positions.get(name) ?? [0, 0];
    return this.#block?.subarray(start, end) ?? Buffer.alloc(0);
  }

  /** Holds a copy of these values and nothing else. */
  #take(parts: readonly (readonly [name: string, value: Buffer])[]): void {
    const block = Buffer.allocUnsafeSlow(parts.reduce((sum, [, { length }]) => sum + length, 0));
    this.#positions.clear();
    this.#bytes = FRAME_BYTES + block.length;
    let end = 0;
    for (const [name, value] of parts) {
      const start = end;
      end += value.copy(block, start);
      this.#positions.set(name, [start, end]);
      this.#bytes += FRAME_BYTES + 2 * name.length;
    }
    this.#block = block;
  }

  #text([start, end]: readonly [number, number]): string {
    if (this.#block === undefined) throw new Error('A snapshot was read after it had been wiped.');
    return this.#block.toString('utf8', start, end);
  }
}
