import { Clock } from './clock';

export class SystemClock extends Clock {
  nowMs(): number {
    return Date.now();
  }
}
