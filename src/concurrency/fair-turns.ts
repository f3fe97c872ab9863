import type { MonotonicTime } from '../clock/monotonic-time';

export interface TurnBounds {
  readonly maxUnderWay: number;
  readonly maxUnderWayOfOne: number;
  readonly maxWaiting: number;
  readonly maxWaitingOfOne: number;
  /** Who waits so long in vain is sent away. */
  readonly maxWaitMs: number;
  /** And at once, where at the pace of the line the turn would come later. */
  readonly byPace?: boolean;
}

/** How much the latest piece of work counts in what is usual. */
const USUAL_WEIGHT = 0.1;

/** After so many ends of a line's work the earlier ones count half, so that its pace is that of now. */
const PACE_OF = 64;

interface Waiting {
  /** Told once: whether the turn has come. */
  readonly tell: (hasCome: boolean) => void;
  readonly untilMs: number;
}

/** Who waits for the turns of one key, and at what pace they come. */
class Line {
  readonly waiting: Waiting[] = [];
  #ended = 0;

  constructor(
    private readonly maxUnderWay: number,
    private sinceMs: number,
  ) {}

  ended(nowMs: number): void {
    this.#ended += 1;
    if (this.#ended < PACE_OF) return;
    this.#ended /= 2;
    this.sinceMs += (nowMs - this.sinceMs) / 2;
  }

  /** How long about so many of them take, rather too short than too long; undefined until there is a pace. */
  msOf(count: number, nowMs: number): number | undefined {
    if (this.#ended < 2 * this.maxUnderWay) return undefined;
    return (count * (nowMs - this.sinceMs)) / (this.#ended + this.maxUnderWay - 1);
  }
}

/**
 * Work of many keys, so much of it at once: the keys take turns, so that one with much to do delays the others by little.
 * Where all the places to wait are taken, the longest line gives one up for a shorter one: nobody is kept out by others.
 */
export class FairTurns {
  /** In the order of their turns: a key that has had its turn goes to the end. */
  readonly #lines = new Map<string, Line>();
  readonly #underWayOf = new Map<string, number>();
  #waiting = 0;
  #underWay = 0;
  /** What a piece of work took lately. */
  #usualMs = 0;

  constructor(
    private readonly bounds: TurnBounds,
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
    const line = this.#lines.get(key) ?? new Line(this.bounds.maxUnderWayOfOne, this.time.nowMs());
    if (line.waiting.length === 0 && this.#hasRoomFor(key)) this.#begin(key);
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
  #lineMs(line: Line): number {
    const { maxUnderWay, maxUnderWayOfOne } = this.bounds;
    const length = line.waiting.length + 1;
    const rounds = Math.max(length / maxUnderWayOfOne, (this.#waiting + 1) / maxUnderWay);
    return line.msOf(length, this.time.nowMs()) ?? rounds * this.#usualMs;
  }

  /** False where it does not come, or would not come in time at the pace of the line. */
  #turnOf(key: string, line: Line, waitedMs: number): boolean | Promise<boolean> {
    const { maxWaiting, maxWaitingOfOne } = this.bounds;
    const maxWaitMs = this.bounds.maxWaitMs - waitedMs;
    if (maxWaitMs <= 0) return false;
    if (line.waiting.length >= maxWaitingOfOne) return false;
    if ((line.msOf(line.waiting.length + 1, this.time.nowMs()) ?? 0) > maxWaitMs) return false;
    if (this.#waiting >= maxWaiting && !this.#makeRoomFor(line)) return false;
    return new Promise((resolve) => {
      const callOff = this.time.after(maxWaitMs, () => this.#leave(key, waiting, false));
      const tell = (hasCome: boolean): void => {
        callOff();
        resolve(hasCome);
      };
      const waiting: Waiting = { tell, untilMs: this.time.nowMs() + maxWaitMs };
      line.waiting.push(waiting);
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
    if (this.bounds.byPace === true) this.#lines.get(key)?.ended(this.time.nowMs());
    this.#handOn();
    this.#sendAwayLate(key);
  }

  #handOn(): void {
    for (const [next, line] of this.#lines) {
      const [first] = line.waiting;
      if (first === undefined || !this.#hasRoomFor(next)) continue;
      this.#lines.delete(next);
      this.#lines.set(next, line);
      this.#begin(next);
      this.#leave(next, first, true);
      return;
    }
  }

  /** Whose turn would come too late hears so now and not when their time is up. */
  #sendAwayLate(key: string): void {
    const [line, nowMs] = [this.#lines.get(key), this.time.nowMs()];
    while (line !== undefined) {
      const [last, needMs] = [line.waiting.at(-1), line.msOf(line.waiting.length, nowMs)];
      if (last === undefined || needMs === undefined || nowMs + needMs <= last.untilMs) return;
      this.#leave(key, last, false);
    }
  }

  /** False where no line would stay longer than this one with one more in it. */
  #makeRoomFor(line: Line): boolean {
    const longest = [...this.#lines].reduce<[string, Line] | undefined>(
      (one, other) => (one === undefined || other[1].waiting.length > one[1].waiting.length ? other : one),
      undefined,
    );
    const last = longest?.[1].waiting.at(-1);
    if (longest === undefined || last === undefined) return false;
    if (longest[1].waiting.length <= line.waiting.length + 1) return false;
    this.#leave(longest[0], last, false);
    return true;
  }

  #leave(key: string, one: Waiting, hasCome: boolean): void {
    const waiting = this.#lines.get(key)?.waiting;
    waiting?.splice(waiting.indexOf(one), 1);
    this.#waiting -= 1;
    if (waiting?.length === 0) this.#lines.delete(key);
    one.tell(hasCome);
  }
}
