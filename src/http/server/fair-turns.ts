import { LRUCache } from 'lru-cache';
import { Line } from '../../concurrency/fair-queue';
import { type RateLimit, TokenBucket } from '../../limits/rate-limits';
import type { MonotonicTime } from '../../time/clock';

/** For how long work is begun in one turn of the event loop. */
const TURN_MS = 1;
/** For how long turns that accepted a connection begin no work of callers, and of others. */
const MAX_POSTPONED_MS = { callers: 2, strangers: 20 };
/** How long steps wait that may not begin yet. */
const PAUSE_MS = 2;
/** While both wait, every so many steps one is of an address without a caller. */
const STEPS_FOR_A_STRANGER = 4;
/** For how long an address counts as a caller's since one was authenticated there. */
const CALLER_FOR_MS = 60_000;
/** Beyond it the address on which a caller was authenticated least recently is forgotten. */
const MAX_CALLERS = 10_000;

/** What is done with what waits. */
interface TurnWork<T> {
  begin(item: T): void;
  /** Ends what will not be begun, since too much waits. */
  shed(item: T): void;
}

/** For addresses of callers and for others, each. */
interface TurnBounds {
  readonly max: number;
  readonly maxOfAddress: number;
  /** How many steps begin in one turn, if there is a limit. */
  readonly maxPerTurn?: number;
  /** How many steps of addresses without a caller begin in a second, and at once after a pause; without it they are not limited. */
  readonly ofStrangers?: RateLimit;
}

/** The addresses on which a caller was authenticated within the last minute. */
export class CallerAddresses {
  readonly #authenticatedMs = new LRUCache<string, number>({ maxSize: MAX_CALLERS });

  constructor(private readonly time: Pick<MonotonicTime, 'nowMs'>) {}

  add(address: string): void {
    this.#authenticatedMs.set(address, this.time.nowMs(), { size: 1 });
  }

  has(address: string): boolean {
    const atMs = this.#authenticatedMs.get(address);
    return atMs !== undefined && this.time.nowMs() - atMs < CALLER_FOR_MS;
  }
}

/** Steps by address, of which there are not too many, and none for a while where connections come in. */
class BoundedLine<T> extends Line<T> {
  postponedSinceMs: number | undefined;

  constructor(
    private readonly bounds: TurnBounds,
    private readonly maxPostponedMs: number,
  ) {
    super();
  }

  /** Returns whether nothing is begun in a turn, since it accepted a connection and has not been postponed for long. */
  postpones(hasAccepted: boolean, nowMs: number): boolean {
    this.postponedSinceMs = hasAccepted ? (this.postponedSinceMs ?? nowMs) : undefined;
    if (this.postponedSinceMs === undefined) return false;
    if (nowMs - this.postponedSinceMs < this.maxPostponedMs) return true;
    this.postponedSinceMs = undefined;
    return false;
  }

  /** Returns the step that finds no place: the new one where its address has too many, or else the last of the address that has the most. */
  add(address: string, item: T): T | undefined {
    const length = this.queues.get(address)?.length ?? 0;
    if (length >= this.bounds.maxOfAddress) return item;
    const shed = this.waiting >= this.bounds.max ? this.#shedFor(length, item) : undefined;
    if (shed !== item) this.push(address, item);
    return shed;
  }

  holds(address: string): boolean {
    return this.queues.has(address);
  }

  /** Moves the steps of an address to another line, behind those that it has there: it was a caller's before. */
  moveTo(other: BoundedLine<T>, address: string): void {
    const queue = this.queues.get(address);
    if (queue === undefined) return;
    this.queues.delete(address);
    this.waiting -= queue.length;
    for (const item of queue) other.push(address, item);
  }

  #shedFor(length: number, item: T): T | undefined {
    let longest: T[] = [];
    for (const queue of this.queues.values()) if (queue.length > longest.length) longest = queue;
    if (longest.length <= length + 1) return item;
    this.waiting -= 1;
    return longest.pop();
  }
}

/**
 * Begins work a few steps in each turn of the event loop, fairly among addresses: an address with thousands of steps delays the next one
 * of another address by a few. Those of callers come first, so that a flood of strangers from many addresses does not delay them by
 * one step each, and have places of their own. Node accepts one connection in each turn, first come first served: so a turn that accepted
 * one begins nothing, for a while, since more connections may be waiting.
 */
export class FairTurns<T> {
  /** The next turn; at most one is due. */
  private due: NodeJS.Immediate | undefined;
  readonly #ofCallers: BoundedLine<T>;
  readonly #ofStrangers: BoundedLine<T>;
  /** The step that waits while no other does: it is the next one in either line, so that it is put into one only when it must wait behind something. */
  #only: { readonly address: string; readonly item: T } | undefined;
  #steps = 0;
  #isPausing = false;
  #strangers: TokenBucket | undefined;
  #hasAccepted = false;

  constructor(
    private readonly bounds: TurnBounds,
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
    private readonly work: TurnWork<T>,
    private readonly callers: Pick<CallerAddresses, 'has'>,
  ) {
    this.#ofCallers = new BoundedLine(bounds, MAX_POSTPONED_MS.callers);
    this.#ofStrangers = new BoundedLine(bounds, MAX_POSTPONED_MS.strangers);
  }

  /** To be called for each connection that the server accepts. */
  connectionAccepted(): void {
    this.#hasAccepted = true;
  }

  /** Adds a step; one is shed where its address has too many, or there are too many. */
  add(address: string, item: T): void {
    const isFirst = this.#ofCallers.waiting + this.#ofStrangers.waiting === 0 && this.#only === undefined;
    // Where strangers are limited, it matters whose each step is.
    if (isFirst && this.bounds.ofStrangers === undefined) this.#only = { address, item };
    else {
      this.#lineUpOnly();
      this.#lineUp(address, item);
    }
    this.due ??= setImmediate(this.#turn);
  }

  #lineUpOnly(): void {
    if (this.#only === undefined) return;
    const { address, item } = this.#only;
    this.#only = undefined;
    this.#lineUp(address, item);
  }

  #lineUp(address: string, item: T): void {
    // An address that stops being a caller's while something of it waits stays in line, so that its steps keep their order.
    const isCallers = this.callers.has(address) || this.#ofCallers.holds(address);
    if (isCallers) this.#ofStrangers.moveTo(this.#ofCallers, address);
    const shed = (isCallers ? this.#ofCallers : this.#ofStrangers).add(address, item);
    if (shed !== undefined) this.work.shed(shed);
  }

  shedAll(): void {
    this.#lineUpOnly();
    for (const line of [this.#ofCallers, this.#ofStrangers])
      for (let item = line.take(); item !== undefined; item = line.take()) this.work.shed(item);
  }

  /** How many steps wait. */
  get waiting(): number {
    return this.#ofCallers.waiting + this.#ofStrangers.waiting + (this.#only === undefined ? 0 : 1);
  }

  #pause(): void {
    if (this.#isPausing || this.waiting === 0) return;
    this.#isPausing = true;
    setTimeout(() => {
      this.#isPausing = false;
      if (this.waiting > 0) this.due ??= setImmediate(this.#turn);
    }, PAUSE_MS);
  }

  readonly #turn = (): void => {
    this.due = undefined;
    if (this.#only === undefined || this.#hasAccepted) {
      void this.#turnOfLines();
      return;
    }
    const { item } = this.#only;
    this.#only = this.#ofCallers.postponedSinceMs = this.#ofStrangers.postponedSinceMs = undefined;
    this.work.begin(item);
  };

  async #turnOfLines(): Promise<void> {
    this.#lineUpOnly();
    const beganMs = this.time.nowMs();
    const mayBegin = {
      callers: !this.#ofCallers.postpones(this.#hasAccepted, beganMs),
      strangers: !this.#ofStrangers.postpones(this.#hasAccepted, beganMs),
    };
    this.#hasAccepted = false;
    const { maxPerTurn = Infinity } = this.bounds;
    for (let begun = 0; begun < maxPerTurn && this.time.nowMs() - beganMs < TURN_MS; begun += 1) {
      const item = this.#take(mayBegin);
      // What waits then and is not postponed comes too often.
      if (item === undefined && mayBegin.callers && mayBegin.strangers) return this.#pause();
      if (item === undefined) break;
      this.work.begin(item);
      // The microtasks of the begun step run first, and count.
      await Promise.resolve();
    }
    if (this.waiting > 0) this.due ??= setImmediate(this.#turn);
  }

  /** Returns undefined where nothing may begin yet. */
  #take(mayBegin: { readonly callers: boolean; readonly strangers: boolean }): T | undefined {
    const hasCallers = mayBegin.callers && this.#ofCallers.waiting > 0;
    this.#steps += 1;
    const isTurnOfStrangers = !hasCallers || this.#steps % STEPS_FOR_A_STRANGER === 0;
    if (isTurnOfStrangers && mayBegin.strangers && this.#ofStrangers.waiting > 0 && this.#mayBeginStranger())
      return this.#ofStrangers.take();
    return hasCallers ? this.#ofCallers.take() : undefined;
  }

  #mayBeginStranger(): boolean {
    const { ofStrangers } = this.bounds;
    if (ofStrangers === undefined) return true;
    const nowMs = this.time.nowMs();
    this.#strangers ??= new TokenBucket(ofStrangers.burst, nowMs);
    this.#strangers.refill(ofStrangers, nowMs);
    return this.#strangers.take();
  }
}
