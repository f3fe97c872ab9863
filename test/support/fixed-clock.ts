import { Clock } from '../../src/time/clock';

/** A clock that only a test moves. */
export class FixedClock extends Clock {
  constructor(private timeMs = Date.parse('2026-11-22T12:00:00Z')) {
    super();
  }

  nowMs(): number {
    return this.timeMs;
  }

  advance(ms: number): void {
    this.timeMs += ms;
  }
}
