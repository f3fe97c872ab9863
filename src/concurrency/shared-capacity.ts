/** Gives back what was taken. Calling it again does nothing. */
export type Release = () => void;

/** Why nothing was taken: too little is free ('full'), or the subject holds as much as it may ('share'). */
export type NoCapacity = 'full' | 'share';

/**
 * A capacity that subjects share so that none of them can take all of it. A subject holds at most as much as is still
 * free: alone it gets half, and the next one half of the rest. (Network switches share their buffers like this: Choudhury and
 * Hahne, "Dynamic queue length thresholds", 1998.) Every holder must release in the end: nothing is taken away from it.
 */
export class SharedCapacity {
  #used = 0;
  readonly #held = new Map<string, number>();

  /** @param maxPerSubject what one subject holds at most, however much is free */
  constructor(
    private readonly max: number,
    private readonly maxPerSubject = max,
  ) {}

  get used(): number {
    return this.#used;
  }

  take(subject: string, amount = 1): Release | NoCapacity {
    const free = this.max - this.#used;
    if (amount > free) return 'full';
    const held = this.#held.get(subject) ?? 0;
    if (held + amount > Math.min(free, this.maxPerSubject)) return 'share';
    this.#used += amount;
    this.#held.set(subject, held + amount);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#release(subject, amount);
    };
  }

  #release(subject: string, amount: number): void {
    this.#used -= amount;
    const left = (this.#held.get(subject) ?? 0) - amount;
    if (left > 0) this.#held.set(subject, left);
    else this.#held.delete(subject);
  }
}
