import type { Alarm } from '../../src/stores/infisical/transport/upstream-rate-limits';
import { FixedClock } from './fixed-clock';

/** A clock that also rings its alarms, in order. */
export class ManualAlarm extends FixedClock {
  #set: { readonly atMs: number; readonly ring: () => void }[] = [];

  readonly alarm: Alarm = (afterMs, ring) => {
    const entry = { atMs: this.nowMs() + afterMs, ring };
    this.#set.push(entry);
    return () => {
      this.#set = this.#set.filter((other) => other !== entry);
    };
  };

  get pending(): number {
    return this.#set.length;
  }

  /** Advances the clock, and rings each alarm on the way. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs() + ms;
    for (;;) {
      const next = this.#set.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#set = this.#set.filter((other) => other !== next);
      this.advance(Math.max(0, next.atMs - this.nowMs()));
      next.ring();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.advance(endMs - this.nowMs());
    await new Promise((resolve) => setImmediate(resolve));
  }
}
