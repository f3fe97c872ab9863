const TICK_MS = 5;
/** Less is the ordinary unpunctuality of timers. */
const NOTICED_MS = 10;

/** How long this process was kept from running, by a busy machine or by itself: what a time that is measured may be over. */
export class LostTime {
  #lostMs = 0;
  #lastMs = performance.now();
  readonly #timer = setInterval(() => {
    const nowMs = performance.now();
    const lateMs = nowMs - this.#lastMs - TICK_MS;
    if (lateMs > NOTICED_MS) this.#lostMs += lateMs;
    this.#lastMs = nowMs;
  }, TICK_MS);

  get ms(): number {
    return this.#lostMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
