import type { MonotonicTime } from '../time/clock';

export interface FairQueueBounds {
  readonly maxUnderWay: number;
  readonly maxUnderWayOfOne: number;
  readonly maxWaiting: number;
  readonly maxWaitingOfOne: number;
  /** Who waits so long in vain is sent away. */
  readonly maxWaitMs: number;
}

/** How much the latest piece of work counts in what is usual. */
const USUAL_WEIGHT = 0.1;

/** Told once: whether the turn has come. */
type Waiting = (hasCome: boolean) => void;

/**
 * Work of many keys, so much of it at once: the keys take turns, so that one with much to do delays the others by little.
 * Where all the places to wait are taken, the longest line gives one up for a shorter one: nobody is kept out by others.
 */
export class FairQueue {
  /** In the order of their turns: a key that has had its turn goes to the end. */
  readonly #lines = new Map<string, Waiting[]>();
  readonly #underWayOf = new Map<string, number>();
  #waiting = 0;
  #underWay = 0;
  /** What a piece of work took lately. */
  #usualMs = 0;

  constructor(
    private readonly bounds: FairQueueBounds,
    private readonly time: MonotonicTime,
    /** What is thrown where too many wait already, or a turn does not come in time; by then, about, the line is done. */
    private readonly refusal: (lineMs: number) => Error,
  ) {}

  get waiting(): number {
    return this.#waiting;
  }

  get underWay(): number {
    return this.#underWay;
  }

  /**
   * Does the work when the turn of this key has come: at once where nothing is in its way.
   * @param waitedMs for the same thing before, which counts
   * @throws the refusal
   */
  async run<T>(key: string, work: () => Promise<T>, waitedMs = 0): Promise<T> {
    const line = this.#lines.get(key) ?? [];
    if (line.length === 0 && this.#hasRoomFor(key)) this.#begin(key);
    else if (!(await this.#turnOf(key, line, waitedMs))) throw this.refusal(this.#lineMs(line));
    const beganMs = this.time.nowMs();
    try {
      return await work();
    } finally {
      const tookMs = this.time.nowMs() - beganMs;
      this.#usualMs += (this.#usualMs === 0 ? 1 : USUAL_WEIGHT) * (tookMs - this.#usualMs);
      this.#end(key);
    }
  }

  /** How long about the line of a key will take, among the others. */
  #lineMs(line: readonly Waiting[]): number {
    const { maxUnderWay, maxUnderWayOfOne } = this.bounds;
    const rounds = Math.max((line.length + 1) / maxUnderWayOfOne, (this.#waiting + 1) / maxUnderWay);
    return rounds * this.#usualMs;
  }

  /** False where it does not come. */
  #turnOf(key: string, line: Waiting[], waitedMs: number): boolean | Promise<boolean> {
    const { maxWaiting, maxWaitingOfOne } = this.bounds;
    const maxWaitMs = this.bounds.maxWaitMs - waitedMs;
    if (maxWaitMs <= 0) return false;
    if (line.length >= maxWaitingOfOne) return false;
    if (this.#waiting >= maxWaiting && !this.#makeRoomFor(line)) return false;
    return new Promise((resolve) => {
      const callOff = this.time.after(maxWaitMs, () => this.#leave(key, waiting, false));
      const waiting: Waiting = (hasCome) => {
        callOff();
        resolve(hasCome);
      };
      line.push(waiting);
      this.#lines.set(key, line);
      this.#waiting += 1;
    });
  }

  #hasRoomFor(key: string): boolean {
    const { maxUnderWay, maxUnderWayOfOne } = this.bounds;
    return this.#underWay < maxUnderWay && (this.#underWayOf.get(key) ?? 0) < maxUnderWayOfOne;
  }

  #begin(key: string): void {
    this.#underWay += 1;
    this.#underWayOf.set(key, (this.#underWayOf.get(key) ?? 0) + 1);
  }

  #end(key: string): void {
    const left = (this.#underWayOf.get(key) ?? 1) - 1;
    if (left === 0) this.#underWayOf.delete(key);
    else this.#underWayOf.set(key, left);
    this.#underWay -= 1;
    for (const [next, line] of this.#lines) {
      const [first] = line;
      if (first === undefined || !this.#hasRoomFor(next)) continue;
      this.#lines.delete(next);
      this.#lines.set(next, line);
      this.#begin(next);
      this.#leave(next, first, true);
      return;
    }
  }

  /** False where no line would stay longer than this one with one more in it. */
  #makeRoomFor(line: readonly Waiting[]): boolean {
    const none: [string, Waiting[]] = ['', []];
    const longer = (one: typeof none, other: typeof none) => (other[1].length > one[1].length ? other : one);
    const [key, longest] = [...this.#lines].reduce(longer, none);
    const last = longest.at(-1);
    if (last === undefined || longest.length <= line.length + 1) return false;
    this.#leave(key, last, false);
    return true;
  }

  #leave(key: string, waiting: Waiting, hasCome: boolean): void {
    const line = this.#lines.get(key) ?? [];
    line.splice(line.indexOf(waiting), 1);
    this.#waiting -= 1;
    if (line.length === 0) this.#lines.delete(key);
    waiting(hasCome);
  }
}
