import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { LARGE_STEP_BYTES, quietTurn } from '../../concurrency/quiet-turn';
import { Overloaded } from '../../errors/request-errors';
import type { Secret, CallContext } from '../../secrets/secret';
import type { MonotonicTime } from '../../time/clock';

/** About the memory that the maps and objects of one secret take beside its own bytes. */
const SECRET_OVERHEAD_BYTES = 160;

/** When a read began: the generation, and the time in milliseconds. */
export interface SnapshotTime {
  readonly generationAtStart: number;
  readonly atMs: number;
}

/** The names that a read covered. */
interface SnapshotExtent {
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
  /** Names that exist and cannot be read; the store itself says why. */
  readonly unreadable: ReadonlySet<string>;
  readonly revision: string | undefined;
  /** About how much memory it takes. */
  readonly bytes: number;
  /** The errors by which the store refused unreadable names since this was read, or last confirmed. */
  readonly refusals = new Map<string, unknown>();
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
   * Returns a snapshot of the whole scope that includes a write of ours, as far as is known; it must be confirmed.
   * @param value undefined where the name was deleted
   */
  withWrite(name: string, value: string | undefined): Snapshot {
    const unreadable = new Set([...this.unreadable].filter((other) => other !== name));
    const block = this.#block ?? Buffer.alloc(0);
    const secrets: { name: string; value: string | Buffer }[] = [...this.#positions]
      .filter(([other]) => other !== name)
      .map(([other, [start, end]]) => ({ name: other, value: block.subarray(start, end) }));
    if (value !== undefined) secrets.push({ name, value });
    secrets.sort((one, other) => (one.name < other.name ? -1 : 1));
    const next = new Snapshot({ unreadable }, secrets, this.#time);
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

  confirm(time: SnapshotTime): void {
    this.#time = time;
    this.#needsConfirmation = false;
    this.refusals.clear();
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
    return this.#positions.size === 0 && this.unreadable.size === 0;
  }

  /** Returns whether there is a secret of this name, readable or not. */
  has(name: string): boolean {
    return this.#positions.has(name) || this.unreadable.has(name);
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

  /** Whether it is wiped or soon will be, so that it must not be cached any more. */
  get isWipeDue(): boolean {
    return this.#isWipeDue;
  }

  /**
   * Overwrites the values in a later turn of the event loop, since callers that waited for this read take its answer in the present one,
   * and once no caller holds them. Strings that were made from them are left to the garbage collector.
   */
  wipeSoon(): void {
    this.#isWipeDue = true;
    setImmediate(() => {
      if (this.#holders > 0) return;
      this.#block?.fill(0);
      this.#block = undefined;
    });
  }

  /** Does work that takes several turns of the event loop; it is not wiped before that has ended. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    this.#holders += 1;
    try {
      return await work();
    } finally {
      this.#holders -= 1;
      if (this.#isWipeDue) this.wipeSoon();
    }
  }

  #text([start, end]: readonly [number, number]): string {
    if (this.#block === undefined) throw new Error('A snapshot was read after it had been wiped.');
    return this.#block.toString('utf8', start, end);
  }
}

const LARGE_TEXTS: FairQueueBounds = {
  maxRunning: 1,
  maxRunningPerKey: 1,
  maxWaiting: 2_048,
  maxWaitingPerKey: 1_024,
  maxWaitMs: 10_000,
};

/**
 * Makes strings of the values in snapshots. Large ones are made one after the other, fairly between scopes, and a part in each turn of
 * the event loop. Returns 'wiped' where the snapshot was wiped meanwhile. @throws Overloaded where too many wait
 */
export class LargeTexts {
  readonly #queue: FairQueue;

  constructor(time: MonotonicTime) {
    this.#queue = new FairQueue(LARGE_TEXTS, time, () => new Overloaded());
  }

  secret(
    scope: string,
    snapshot: Snapshot,
    name: string,
    context: CallContext,
  ): Secret | undefined | Promise<Secret | undefined | 'wiped'> {
    if (snapshot.bytesOf(name) <= LARGE_STEP_BYTES) return snapshot.secret(name);
    const make = async (): Promise<Secret | undefined | 'wiped'> => {
      await quietTurn('open', scope);
      return snapshot.isWiped ? 'wiped' : snapshot.secret(name);
    };
    return this.#queue.run(scope, make, { signal: context.signal });
  }

  secrets(
    scope: string,
    snapshot: Snapshot,
    context: CallContext,
  ): readonly Secret[] | Promise<readonly Secret[] | 'wiped'> {
    if (snapshot.bytes <= LARGE_STEP_BYTES) return [...snapshot.secrets()];
    const make = async (): Promise<readonly Secret[] | 'wiped'> =>
      snapshot.isWiped ? 'wiped' : snapshot.hold(() => inParts(scope, snapshot));
    return this.#queue.run(scope, make, { signal: context.signal });
  }
}

async function inParts(scope: string, snapshot: Snapshot): Promise<readonly Secret[]> {
  const secrets: Secret[] = [];
  let bytes = 0;
  for (const secret of snapshot.secrets()) {
    secrets.push(secret);
    bytes += snapshot.bytesOf(secret.name);
    if (bytes < LARGE_STEP_BYTES) continue;
    bytes = 0;
    await quietTurn('open', scope);
  }
  return secrets;
}
