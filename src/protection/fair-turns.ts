export interface TurnBounds {
  readonly maxUnderWay: number;
  readonly maxUnderWayOfOne: number;
  readonly maxWaiting: number;
  readonly maxWaitingOfOne: number;
}

export interface Turn {
  /** Resolves when it has come; undefined where it has at once. Whoever has it tells `ended` when it is over. */
  readonly come: Promise<void> | undefined;
  /** Leaves the line. False where the turn has come already. */
  giveUp(): boolean;
}

/** Work of many keys, so much of it at once: the keys take turns, so that one with much to do delays the others by little. */
export class FairTurns {
  /** In the order of their turns: a key that has had its turn goes to the end. */
  readonly #lines = new Map<string, (() => void)[]>();
  readonly #underWayOf = new Map<string, number>();
  #waiting = 0;
  #underWay = 0;

  constructor(private readonly bounds: TurnBounds) {}

  get waiting(): number {
    return this.#waiting;
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Undefined where too many wait already. */
  ask(key: string): Turn | undefined {
    const line = this.#lines.get(key) ?? [];
    if (line.length === 0 && this.#hasRoomFor(key)) {
      this.#begin(key);
      return { come: undefined, giveUp: () => false };
    }
    const { maxWaiting, maxWaitingOfOne } = this.bounds;
    if (this.#waiting >= maxWaiting || line.length >= maxWaitingOfOne) return undefined;
    let go = (): void => undefined;
    const come = new Promise<void>((resolve) => (go = resolve));
    line.push(go);
    this.#lines.set(key, line);
    this.#waiting += 1;
    return { come, giveUp: () => this.#leave(key, line, line.indexOf(go)) };
  }

  ended(key: string): void {
    const left = (this.#underWayOf.get(key) ?? 1) - 1;
    if (left === 0) this.#underWayOf.delete(key);
    else this.#underWayOf.set(key, left);
    this.#underWay -= 1;
    for (const [next, line] of this.#lines) {
      const [go] = line;
      if (go === undefined || !this.#hasRoomFor(next)) continue;
      this.#lines.delete(next);
      this.#lines.set(next, line);
      this.#leave(next, line, 0);
      this.#begin(next);
      go();
      return;
    }
  }

  #hasRoomFor(key: string): boolean {
    const { maxUnderWay, maxUnderWayOfOne } = this.bounds;
    return this.#underWay < maxUnderWay && (this.#underWayOf.get(key) ?? 0) < maxUnderWayOfOne;
  }

  #begin(key: string): void {
    this.#underWay += 1;
    this.#underWayOf.set(key, (this.#underWayOf.get(key) ?? 0) + 1);
  }

  #leave(key: string, line: (() => void)[], at: number): boolean {
    if (at < 0) return false;
    line.splice(at, 1);
    this.#waiting -= 1;
    if (line.length === 0) this.#lines.delete(key);
    return true;
  }
}
