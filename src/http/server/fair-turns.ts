import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';

/** For how long work is begun in one turn of the event loop. */
const TURN_MS = 1;
/** For how long turns that accepted a connection begin no work. */
const MAX_POSTPONED_MS = 2;

/** What is done with what waits. */
export interface TurnWork<T> {
  begin(item: T): void;
  /** Ends what will not be begun, since too much waits. */
  shed(item: T): void;
}

interface TurnBounds {
  readonly max: number;
  readonly maxOfAddress: number;
  /** How many steps of addresses without a caller begin in a second, and at once after a pause; without it they are not limited. */
  readonly ofStrangers?: { readonly perSecond: number; readonly burst: number };
}

/** How long steps wait that may not begin yet. */
const PAUSE_MS = 2;

/** While both wait, every so many steps one is of an address without a caller. */
const STEPS_FOR_A_STRANGER = 4;
/** For how long an address counts as a caller's since one was authenticated there. */
const CALLER_FOR_MS = 60_000;
/** Beyond it the address on which a caller was authenticated least recently is forgotten. */
const MAX_CALLERS = 10_000;

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

/** Steps by address, in the order in which the addresses are served: one whose step was begun goes to the end. */
type Queues<T> = Map<string, T[]>;

/**
 * Begins work a few steps in each turn of the event loop, fairly among addresses: an address with thousands of steps delays the next one
 * of another address by a few. Those of callers come first, so that a flood of strangers from many addresses does not delay them by
 * one step each. Node accepts one connection in each turn, first come first served: so a turn that accepted one begins nothing, for
 * a while, since more connections may be waiting.
 */
export class FairTurns<T> {
  readonly #ofCallers: Queues<T> = new Map();
  readonly #ofStrangers: Queues<T> = new Map();
  #waiting = 0;
  #steps = 0;
  #isDue = false;
  #isPausing = false;
  #strangers: { tokens: number; atMs: number } | undefined;
  #hasAccepted = false;
  #postponedSinceMs: number | undefined;

  constructor(
    private readonly bounds: TurnBounds,
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
    private readonly work: TurnWork<T>,
    private readonly callers: Pick<CallerAddresses, 'has'>,
  ) {}

  /** To be called for each connection that the server accepts. */
  connectionAccepted(): void {
    this.#hasAccepted = true;
  }

  /** Adds a step, or sheds it where its address has too many, or there are too many and no address has more. */
  add(address: string, item: T): void {
    const queues = this.#queuesOf(address);
    const queue = queues.get(address) ?? [];
    const isFull = this.#waiting >= this.bounds.max && !this.#shedFromLongest(queue.length);
    if (isFull || queue.length >= this.bounds.maxOfAddress) {
      this.work.shed(item);
      return;
    }
    if (queue.push(item) === 1) queues.set(address, queue);
    this.#waiting += 1;
    this.#wake();
  }

  /** An address stays where it is until all its steps were begun. */
  #queuesOf(address: string): Queues<T> {
    if (this.#ofStrangers.has(address)) return this.#ofStrangers;
    return this.#ofCallers.has(address) || this.callers.has(address) ? this.#ofCallers : this.#ofStrangers;
  }

  #wake(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      void this.#turn();
    });
  }

  #pause(): void {
    if (this.#isPausing) return;
    this.#isPausing = true;
    setTimeout(() => {
      this.#isPausing = false;
      this.#wake();
    }, PAUSE_MS);
  }

  /** Sheds the last step of the address that has the most; returns false where that would not be longer than `length`. */
  #shedFromLongest(length: number): boolean {
    const all = [...this.#ofStrangers.values(), ...this.#ofCallers.values()];
    const longest = all.reduce((one, other) => (other.length > one.length ? other : one));
    if (longest.length <= length + 1) return false;
    const last = longest.pop();
    this.#waiting -= 1;
    if (last !== undefined) this.work.shed(last);
    return true;
  }

  async #turn(): Promise<void> {
    const beganMs = this.time.nowMs();
    const isPostponed = this.#postpones(beganMs);
    while (!isPostponed && this.#waiting > 0 && this.time.nowMs() - beganMs < TURN_MS) {
      const item = this.#take();
      if (item === undefined) return this.#pause();
      this.work.begin(item);
      // The microtasks of the begun step run first, and count.
      await Promise.resolve();
    }
    if (this.#waiting > 0) this.#wake();
  }

  /** Returns undefined where nothing may begin yet. */
  #take(): T | undefined {
    this.#steps += 1;
    const isTurnOfStrangers = this.#ofCallers.size === 0 || this.#steps % STEPS_FOR_A_STRANGER === 0;
    if (isTurnOfStrangers && this.#ofStrangers.size > 0 && this.#mayBeginStranger())
      return this.#takeFirst(this.#ofStrangers);
    return this.#takeFirst(this.#ofCallers);
  }

  #mayBeginStranger(): boolean {
    const { ofStrangers } = this.bounds;
    if (ofStrangers === undefined) return true;
    const nowMs = this.time.nowMs();
    const { tokens, atMs } = this.#strangers ?? { tokens: ofStrangers.burst, atMs: nowMs };
    const held = Math.min(ofStrangers.burst, tokens + ((nowMs - atMs) / 1000) * ofStrangers.perSecond);
    this.#strangers = { tokens: held < 1 ? held : held - 1, atMs: nowMs };
    return held >= 1;
  }

  #takeFirst(queues: Queues<T>): T | undefined {
    const [first] = queues;
    if (first === undefined) return undefined;
    const [address, queue] = first;
    const item = queue.shift();
    queues.delete(address);
    if (queue.length > 0) queues.set(address, queue);
    this.#waiting -= 1;
    return item;
  }

  #postpones(nowMs: number): boolean {
    const hasAccepted = this.#hasAccepted;
    this.#hasAccepted = false;
    this.#postponedSinceMs = hasAccepted ? (this.#postponedSinceMs ?? nowMs) : undefined;
    if (this.#postponedSinceMs === undefined) return false;
    if (nowMs - this.#postponedSinceMs < MAX_POSTPONED_MS) return true;
    this.#postponedSinceMs = undefined;
    return false;
  }
}
