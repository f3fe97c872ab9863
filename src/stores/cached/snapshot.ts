import type { Secret } from '../../secrets/secret';

/** About the memory that the maps and objects of one secret take beside its own bytes. */
const SECRET_OVERHEAD_BYTES = 160;

/** When a read began: the generation, and the time in milliseconds. */
export interface SnapshotTime {
  readonly generationAtStart: number;
  readonly atMs: number;
}

/** The names that a read covered. */
export interface SnapshotExtent {
  /** The single name that was read; undefined where the whole scope was. */
  readonly only?: string;
  readonly unreadable: ReadonlySet<string>;
  /** Set where the store can tell whether this revision still holds. */
  readonly revision?: string;
}

/**
 * The result of a read: the secrets of a scope, or one of them. The values are in one block of memory outside of the heap, which is
 * overwritten when the snapshot is wiped.
 */
export class Snapshot {
  #bytes: number;
  /** The positions of the values in the block, by name. */
  readonly #positions = new Map<string, readonly [start: number, end: number]>();
  #block: Buffer | undefined;
  #time: SnapshotTime;
  #isIndeterminate = false;
  #holders = 0;
  #isWipeDue = false;

  constructor(
    private readonly extent: SnapshotExtent,
    secrets: readonly Secret[],
    time: SnapshotTime,
  ) {
    this.#time = time;
    const size = secrets.reduce((sum, { value }) => sum + Buffer.byteLength(value), 0);
    // Not from Node's buffer pool, whose memory is shared with others.
    this.#block = Buffer.allocUnsafeSlow(size);
    let end = 0;
    for (const { name, value } of secrets) {
      const start = end;
      end += this.#block.write(value, start);
      this.#positions.set(name, [start, end]);
    }
    const names = secrets.reduce((sum, { name }) => sum + SECRET_OVERHEAD_BYTES + 2 * name.length, 0);
    this.#bytes = SECRET_OVERHEAD_BYTES + size + names;
  }

  /** About how much memory it takes. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Returns a snapshot of the whole scope that includes a write of ours, as far as is known; it is indeterminate.
   * @param value undefined where the name was deleted
   */
  withWrite(name: string, value: string | undefined, generationAtStart: number): Snapshot {
    const unreadable = new Set([...this.extent.unreadable].filter((other) => other !== name));
    const written = value === undefined ? [] : [{ name, value }];
    const next = new Snapshot({ unreadable }, written, { ...this.#time, generationAtStart });
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

  /** Whether it covers all names of its scope. */
  get isWhole(): boolean {
    return this.extent.only === undefined;
  }

  /** When it was read, or last confirmed. */
  get time(): SnapshotTime {
    return this.#time;
  }

  get revision(): string | undefined {
    return this.extent.revision;
  }

  /** Notes that the store confirmed it. Returns false where it was wiped meanwhile. */
  confirm(time: SnapshotTime): boolean {
    if (this.#block === undefined) return false;
    this.#time = time;
    this.#isIndeterminate = false;
    return true;
  }

  /** Notes that a write may have changed it: it stays valid in this generation, but must be confirmed where that is possible. */
  markIndeterminate(generationAtStart: number): void {
    this.#time = { ...this.#time, generationAtStart };
    this.#isIndeterminate = true;
  }

  get isIndeterminate(): boolean {
    return this.#isIndeterminate;
  }

  /** The single name that it covers; undefined where it covers the whole scope. */
  get only(): string | undefined {
    return this.extent.only;
  }

  covers(name: string): boolean {
    return this.isWhole || this.extent.only === name;
  }

  get isEmpty(): boolean {
    return this.#positions.size === 0;
  }

  has(name: string): boolean {
    return this.#positions.has(name);
  }

  /** Returns whether this name, or any name, exists and cannot be read; the store itself then answers with its error. */
  isUnreadable(name?: string): boolean {
    const { unreadable } = this.extent;
    return name === undefined ? unreadable.size > 0 : unreadable.has(name);
  }

  /** Names that exist and cannot be read. */
  get unreadable(): ReadonlySet<string> {
    return this.extent.unreadable;
  }

  /** Returns the size of a value; 0 where there is none. */
  bytesOf(name: string): number {
    const [start, end] = this.#positions.get(name) ?? [0, 0];
    return end - start;
  }

  secret(name: string): Secret | undefined {
    const position = this.#positions.get(name);
    return position === undefined ? undefined : { name, value: this.#text(position) };
  }

  /** In the order in which they were read. */
  *secrets(): Generator<Secret> {
    for (const [name, position] of this.#positions) yield { name, value: this.#text(position) };
  }

  get isWiped(): boolean {
    return this.#block === undefined;
  }

  /** Returns the size of each secret, its name included; of one that cannot be read, only the size of its name is known. */
  sizes(): ReadonlyMap<string, number> {
    const sizes = new Map<string, number>();
    for (const name of this.extent.unreadable) sizes.set(name, Buffer.byteLength(name));
    for (const [name, [start, end]] of this.#positions)
      sizes.set(name, Buffer.byteLength(name) + end - start);
    return sizes;
  }

  /** Overwrites the values, once no caller holds them. Strings that were made from them are left to the garbage collector. */
  wipe(): void {
    this.#isWipeDue = true;
    if (this.#holders > 0) return;
    this.#block?.fill(0);
    this.#block = undefined;
  }

  /** Delays wiping until the returned function is called. */
  hold(): () => void {
    this.#holders += 1;
    return () => {
      this.#holders -= 1;
      if (this.#isWipeDue) this.wipe();
    };
  }

  #part(name: string): Buffer {
    const [start, end] = this.#positions.get(name) ?? [0, 0];
    return this.#block?.subarray(start, end) ?? Buffer.alloc(0);
  }

  /** Replaces its values by a copy of these. */
  #take(parts: readonly (readonly [name: string, value: Buffer])[]): void {
    const block = Buffer.allocUnsafeSlow(parts.reduce((sum, [, { length }]) => sum + length, 0));
    this.#positions.clear();
    this.#bytes = SECRET_OVERHEAD_BYTES + block.length;
    let end = 0;
    for (const [name, value] of parts) {
      const start = end;
      end += value.copy(block, start);
      this.#positions.set(name, [start, end]);
      this.#bytes += SECRET_OVERHEAD_BYTES + 2 * name.length;
    }
    this.#block = block;
  }

  #text([start, end]: readonly [number, number]): string {
    if (this.#block === undefined) throw new Error('A snapshot was read after it had been wiped.');
    return this.#block.toString('utf8', start, end);
  }
}
