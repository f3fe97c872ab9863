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
  /** The single name that it covers; undefined where it covers the whole scope. */
  readonly only: string | undefined;
  /** Names that exist and cannot be read; the store itself then answers with its error. */
  readonly unreadable: ReadonlySet<string>;
  readonly revision: string | undefined;
  /** About how much memory it takes. */
  readonly bytes: number;
  /** The positions of the values in the block, by name. */
  readonly #positions = new Map<string, readonly [start: number, end: number]>();
  #block: Buffer | undefined;
  #time: SnapshotTime;
  #needsConfirmation = false;
  #holders = 0;
  #isWipeDue = false;

  constructor(
    { only, unreadable, revision }: SnapshotExtent,
    secrets: readonly { readonly name: string; readonly value: string | Buffer }[],
    time: SnapshotTime,
  ) {
    this.only = only;
    this.unreadable = unreadable;
    this.revision = revision;
    this.#time = time;
    const size = secrets.reduce((sum, { value }) => sum + Buffer.byteLength(value), 0);
    // Not from Node's buffer pool, whose memory is shared with others.
    this.#block = Buffer.allocUnsafeSlow(size);
    let end = 0;
    for (const { name, value } of secrets) {
      const start = end;
      end += typeof value === 'string' ? this.#block.write(value, start) : value.copy(this.#block, start);
      this.#positions.set(name, [start, end]);
    }
    const names = secrets.reduce((sum, { name }) => sum + SECRET_OVERHEAD_BYTES + 2 * name.length, 0);
    this.bytes = SECRET_OVERHEAD_BYTES + size + names;
  }

  /**
   * Returns a snapshot of the whole scope that includes a write of ours, as far as is known; it is indeterminate.
   * @param value undefined where the name was deleted
   */
  withWrite(name: string, value: string | undefined, generationAtStart: number): Snapshot {
    const unreadable = new Set([...this.unreadable].filter((other) => other !== name));
    const block = this.#block ?? Buffer.alloc(0);
    const secrets: { name: string; value: string | Buffer }[] = [...this.#positions]
      .filter(([other]) => other !== name)
      .map(([other, [start, end]]) => ({ name: other, value: block.subarray(start, end) }));
    if (value !== undefined) secrets.push({ name, value });
    secrets.sort((one, other) => (one.name < other.name ? -1 : 1));
    const next = new Snapshot({ unreadable }, secrets, { ...this.#time, generationAtStart });
    next.#needsConfirmation = true;
    return next;
  }

  /** Whether it covers all names of its scope. */
  get isWhole(): boolean {
    return this.only === undefined;
  }

  /** When it was read, or last confirmed. */
  get time(): SnapshotTime {
    return this.#time;
  }

  /** Notes that the store confirmed it. Returns false where it was wiped meanwhile. */
  confirm(time: SnapshotTime): boolean {
    if (this.#block === undefined) return false;
    this.#time = time;
    this.#needsConfirmation = false;
    return true;
  }

  /** Notes that a write may have changed it: it stays valid in this generation, but must be confirmed where that is possible. */
  requireConfirmation(generationAtStart: number): void {
    this.#time = { ...this.#time, generationAtStart };
    this.#needsConfirmation = true;
  }

  get needsConfirmation(): boolean {
    return this.#needsConfirmation;
  }

  covers(name: string): boolean {
    return this.isWhole || this.only === name;
  }

  get isEmpty(): boolean {
    return this.#positions.size === 0;
  }

  has(name: string): boolean {
    return this.#positions.has(name);
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
    for (const name of this.unreadable) sizes.set(name, Buffer.byteLength(name));
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

  #text([start, end]: readonly [number, number]): string {
    if (this.#block === undefined) throw new Error('A snapshot was read after it had been wiped.');
    return this.#block.toString('utf8', start, end);
  }
}
