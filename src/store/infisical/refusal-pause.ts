import type { Clock } from '../../clock/clock';

/** Longer than the 30 s in which newer servers count three refusals before they lock the identity. */
const FIRST_MS = 60_000;
const LONGEST_MS = 300_000;

/** The rest that the server is given after a refusal; twice as long after each one that follows. */
export class RefusalPause {
  #refusals = 0;
  #sinceMs = 0;
  #pauseMs = 0;

  constructor(private readonly clock: Clock) {}

  /** @returns for the log */
  begin(): { readonly refusals: number; readonly pauseMs: number } {
    this.#sinceMs = this.clock.nowMs();
    this.#pauseMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#refusals++);
    return { refusals: this.#refusals, pauseMs: this.#pauseMs };
  }

  /** A clock that was set back makes it no longer. */
  get isOn(): boolean {
    const restedMs = this.clock.nowMs() - this.#sinceMs;
    return restedMs >= 0 && restedMs < this.#pauseMs;
  }

  /** And the next is a first one again. */
  end(): void {
    this.#refusals = 0;
    this.#pauseMs = 0;
  }
}
