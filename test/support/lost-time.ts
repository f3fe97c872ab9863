const TICK_MS = 5;
/** Less than this is the ordinary delay of timers. */
const NOTICED_MS = 10;

/** Returns for how long this process could not run: a measured time may be longer by that. */
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
