/** Gives back what was taken. Calling it again does nothing. */
export type Release = () => void;

/** Why nothing was taken: too little is free, or the subject already holds as much as it may. */
export type NoCapacity = 'full' | 'share';

/**
 * A capacity that subjects share so that none of them can take all of it. A subject holds at most as much as is still
 * free: alone it gets half, and the next one half of the rest. (Network switches share their buffers like this: Choudhury and
 * Hahne, "Dynamic queue length thresholds", 1998.) What is taken must end by itself, since nothing is taken away again.
 */
export class SharedCapacity {
  #used = 0;
  readonly #held = new Map<string, number>();

  /** @param maxOfOne what one subject holds at most, however much is free */
  constructor(
    private readonly max: number,
    private readonly maxOfOne = max,
  ) {}

  get used(): number {
    return this.#used;
  }

  take(subject: string, amount = 1): Release | NoCapacity {
    const free = this.max - this.#used;
    if (amount > free) return 'full';
    const held = this.#held.get(subject) ?? 0;
    if (held + amount > Math.min(free, this.maxOfOne)) return 'share';
    this.#used += amount;
    this.#held.set(subject, held + amount);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#giveBack(subject, amount);
    };
  }

  #giveBack(subject: string, amount: number): void {
    this.#used -= amount;
    const left = (this.#held.get(subject) ?? 0) - amount;
    if (left > 0) this.#held.set(subject, left);
    else this.#held.delete(subject);
  }
}
