/** The only source of time, so that tests can set it. */
export abstract class Clock {
  /** Milliseconds since the epoch. */
  abstract nowMs(): number;
}
