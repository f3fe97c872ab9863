import { BackOff } from '../concurrency/back-off';
import type { InformerDeps } from '../kubernetes/informer-options';

/** The writes of one object that did not settle it. */
interface Repair {
  readonly backOff: BackOff;
  count: number;
  lastMs: number;
  notBeforeMs: number;
}

/** Of one object, so that two versions of us, or a server that drops a field, quarrel slowly. */
const BACK_OFF = { firstMs: 1_000, maxMs: 300_000 };
/** Of all of them, where so many in a row could not be written: what refuses one refuses all, and one now and then finds out when it ends. */
const BACK_OFF_OF_ALL = { firstMs: 1_000, maxMs: 60_000 };
const FAILED_IN_A_ROW = 5;
/** For an object that was not tried yet, as of a new user: it may be another case. */
const MOST_MS_OF_NEW = 5_000;
/** What stayed right for so long has no more quarrel behind it. */
const SETTLED_MS = 600_000;
const NEVER = -Infinity;

/** Which object is written when: each ever more slowly while it does not settle, and all of them where none can be written. */
export class RepairQueue {
  /** In the order in which they were asked for. */
  private readonly due = new Set<string>();
  private readonly repairs = new Map<string, Repair>();
  private readonly backOffOfAll: BackOff;
  private failedInARow = 0;
  /** Until when all wait, and those that were not tried yet. */
  private rest = { untilMs: NEVER, ofNewUntilMs: NEVER };

  constructor(private readonly deps: Pick<InformerDeps, 'time' | 'random'>) {
    this.backOffOfAll = this.backOff(BACK_OFF_OF_ALL);
  }

  /** What waits since nothing at all can be written; [] where that is not so. */
  get stuck(): Iterable<string> {
    return this.isStuck ? this.due : [];
  }

  add(key: string): void {
    if (this.due.has(key)) return;
    this.due.add(key);
    const known = this.repairs.get(key);
    if (known === undefined) return;
    const nowMs = this.deps.time.nowMs();
    if (nowMs - known.lastMs > SETTLED_MS) this.repairs.delete(key);
    else known.notBeforeMs = nowMs + known.backOff.nextMs();
  }

  /** It is as it should be; what was tried is remembered for a while. */
  settled(key: string): void {
    this.due.delete(key);
  }

  /** Nobody wants it any more. */
  forget(key: string): void {
    this.due.delete(key);
    this.repairs.delete(key);
  }

  /**
   * The object that is written next, or in how long there may be one. What was written least often comes first, so that
   * nothing waits behind what fails; of those, where all fail, what was asked for last.
   */
  next(): readonly [key: string | undefined, waitMs: number] {
    const nowMs = this.deps.time.nowMs();
    let [found, least, soonestMs]: [string | undefined, number, number] = [undefined, Infinity, Infinity];
    for (const key of this.due) {
      const { count, notBeforeMs } = this.repairs.get(key) ?? { count: 0, notBeforeMs: NEVER };
      const atMs = Math.max(notBeforeMs, count === 0 ? this.rest.ofNewUntilMs : this.rest.untilMs);
      soonestMs = Math.min(soonestMs, atMs);
      if (atMs > nowMs || count > least || (count === least && !this.isStuck)) continue;
      [found, least] = [key, count];
      if (count === 0 && !this.isStuck) break;
    }
    return found === undefined ? [undefined, Math.min(SETTLED_MS, soonestMs - nowMs)] : [found, 0];
  }

  begin(key: string): void {
    this.due.delete(key);
    const known = this.repairs.get(key);
    const lastMs = this.deps.time.nowMs();
    if (known === undefined)
      this.repairs.set(key, { backOff: this.backOff(BACK_OFF), count: 1, lastMs, notBeforeMs: NEVER });
    else Object.assign(known, { count: known.count + 1, lastMs });
  }

  /** If all had seemed stuck, whatever it was may be over for all. */
  succeeded(): void {
    for (const key of this.stuck) {
      const known = this.repairs.get(key);
      known?.backOff.reset();
      if (known !== undefined) known.notBeforeMs = NEVER;
    }
    this.failedInARow = 0;
    this.rest = { untilMs: NEVER, ofNewUntilMs: NEVER };
    this.backOffOfAll.reset();
  }

  /** @param atLeastMs the server's own wish, 0 where it has none */
  failed(atLeastMs: number): void {
    this.failedInARow += 1;
    const nowMs = this.deps.time.nowMs();
    const restMs = this.isStuck ? this.backOffOfAll.nextMs() : 0;
    this.rest = {
      untilMs: nowMs + Math.max(atLeastMs, restMs),
      ofNewUntilMs: nowMs + Math.max(atLeastMs, Math.min(restMs, MOST_MS_OF_NEW)),
    };
  }

  /** Whether what refuses one seems to refuse all. */
  private get isStuck(): boolean {
    return this.failedInARow >= FAILED_IN_A_ROW;
  }

  private backOff(bounds: { readonly firstMs: number; readonly maxMs: number }): BackOff {
    return new BackOff({ ...bounds, random: this.deps.random ?? Math.random });
  }
}
