import { BackOff } from '../time/clock';
import type { InformerDeps } from '../kubernetes/informer';
import type { KubernetesFailure } from '../kubernetes/kubernetes-api';

/** The writes of one object after which it was not synced. */
interface Repair {
  readonly backOff: BackOff;
  count: number;
  lastMs: number;
  notBeforeMs: number;
}

/** For one object, so that two versions of us, or a server that drops a field, undo each other's writes slowly. */
const BACK_OFF = { firstMs: 1_000, maxMs: 300_000 };
/** For all objects, once so many writes in a row have failed: the reason refuses all, and one write now and then finds out when it ends. */
const BACK_OFF_OF_ALL = { firstMs: 1_000, maxMs: 60_000 };
const FAILED_IN_A_ROW = 5;
/** For an object that was never written, such as that of a new user: it may not be refused. */
const MAX_BACK_OFF_OF_NEW_MS = 5_000;
/** The earlier writes of an object that stayed synced for so long are forgotten. */
const SETTLED_MS = 600_000;
const NEVER = -Infinity;

/** How fast writes may follow one another, as a token bucket. */
export interface WritePace {
  readonly perSecond: number;
  readonly burst: number;
}

/** Decides which object is written when: each one ever more slowly while it drifts, and all of them while none can be written. */
export class RepairQueue {
  /** In the order in which they were added; the urgent ones first. */
  private readonly urgent = new Set<string>();
  private readonly due = new Set<string>();
  /** Those that are written now: none is written twice at once. */
  private readonly running = new Set<string>();
  private readonly repairs = new Map<string, Repair>();
  private sweptAtMs = NEVER;
  /** When the pace allows one more write after a burst was used up. */
  private paceUntilMs = NEVER;
  private readonly backOffOfAll: BackOff;
  private failedInARow = 0;
  /** Until when all objects wait, and until when those that were never written. */
  private pause = { untilMs: NEVER, ofNewUntilMs: NEVER };

  /** @param pace as fast as they can be written by default */
  constructor(
    private readonly deps: Pick<InformerDeps, 'time' | 'random'>,
    private readonly pace: WritePace = { perSecond: Infinity, burst: 1 },
  ) {
    this.backOffOfAll = this.backOff(BACK_OFF_OF_ALL);
  }

  /** The objects that wait since none can be written; empty otherwise. */
  get stuck(): Iterable<string> {
    return this.isStuck ? this.waiting() : [];
  }

  /**
   * @param isUrgent true for a change of now, which overtakes those that were added as one of many
   * @param writesAtOnce an object that was not written more often does not wait
   */
  add(key: string, isUrgent: boolean, writesAtOnce: number): void {
    const isNew = !this.urgent.has(key) && !this.due.has(key);
    if (isUrgent) this.due.delete(key);
    if (isUrgent) this.urgent.add(key);
    else if (isNew) this.due.add(key);
    const [known, nowMs] = [this.repairs.get(key), this.deps.time.nowMs()];
    if (known === undefined) return;
    if (known.count <= writesAtOnce) known.notBeforeMs = NEVER;
    else if (isNew && nowMs - known.lastMs > SETTLED_MS) this.repairs.delete(key);
    else if (isNew) known.notBeforeMs = nowMs + known.backOff.nextMs();
  }

  /** Takes a synced object out of the queue; its earlier writes are remembered for a while. */
  settled(key: string): void {
    this.urgent.delete(key);
    this.due.delete(key);
  }

  /** Forgets the writes of an object that is another one now. */
  forget(key: string): void {
    this.settled(key);
    this.repairs.delete(key);
  }

  /**
   * Returns the object that is written next, or after how long there may be one. The object that was written least often
   * comes first, so that none waits behind one that fails; among equals, while all fail, the one that was added last.
   */
  next(): readonly [key: string | undefined, waitMs: number] {
    const nowMs = this.deps.time.nowMs();
    let [found, least, soonestMs]: [string | undefined, number, number] = [undefined, Infinity, Infinity];
    const pacedMs = this.paceUntilMs - (this.pace.burst * 1000) / this.pace.perSecond;
    if (pacedMs > nowMs) return [undefined, pacedMs - nowMs];
    for (const key of this.waiting()) {
      if (this.running.has(key)) continue;
      const { count, notBeforeMs } = this.repairs.get(key) ?? { count: 0, notBeforeMs: NEVER };
      const atMs = Math.max(notBeforeMs, count === 0 ? this.pause.ofNewUntilMs : this.pause.untilMs);
      soonestMs = Math.min(soonestMs, atMs);
      if (atMs > nowMs || count > least || (count === least && !this.isStuck)) continue;
      [found, least] = [key, count];
      if (count === 0 && !this.isStuck) break;
    }
    return found === undefined ? [undefined, Math.min(SETTLED_MS, soonestMs - nowMs)] : [found, 0];
  }

  begin(key: string): void {
    this.settled(key);
    this.running.add(key);
    const [known, lastMs] = [this.repairs.get(key), this.deps.time.nowMs()];
    this.paceUntilMs = Math.max(this.paceUntilMs, lastMs) + 1000 / this.pace.perSecond;
    this.sweep(lastMs);
    if (known === undefined)
      this.repairs.set(key, { backOff: this.backOff(BACK_OFF), count: 1, lastMs, notBeforeMs: NEVER });
    else Object.assign(known, { count: known.count + 1, lastMs });
  }

  /** Ends what begin() began. */
  ended(key: string): void {
    this.running.delete(key);
  }

  /** Records a successful write: where all were stuck, they need not wait any longer. */
  succeeded(): void {
    for (const key of this.stuck) {
      const known = this.repairs.get(key);
      known?.backOff.reset();
      if (known !== undefined) known.notBeforeMs = NEVER;
    }
    this.failedInARow = 0;
    this.pause = { untilMs: NEVER, ofNewUntilMs: NEVER };
    this.backOffOfAll.reset();
  }

  /** Records a failed write. @param atLeastMs the server's Retry-After, or 0 */
  failed(atLeastMs: number): void {
    this.failedInARow += 1;
    const nowMs = this.deps.time.nowMs();
    const waitMs = this.isStuck ? this.backOffOfAll.nextMs() : 0;
    this.pause = {
      untilMs: nowMs + Math.max(atLeastMs, waitMs),
      ofNewUntilMs: nowMs + Math.max(atLeastMs, Math.min(waitMs, MAX_BACK_OFF_OF_NEW_MS)),
    };
  }

  /** The urgent ones come first, and last where the last of equals is taken. */
  private *waiting(): Iterable<string> {
    if (this.isStuck) yield* this.due;
    yield* this.urgent;
    if (!this.isStuck) yield* this.due;
  }

  /** Forgets the writes of objects that stayed synced, a first start's thousands among them. */
  private sweep(nowMs: number): void {
    if (nowMs - this.sweptAtMs < SETTLED_MS) return;
    this.sweptAtMs = nowMs;
    for (const [key, { lastMs }] of this.repairs)
      if (nowMs - lastMs > SETTLED_MS && !this.urgent.has(key) && !this.due.has(key))
        this.repairs.delete(key);
  }

  /** True where the reason that refuses one object seems to refuse all. */
  private get isStuck(): boolean {
    return this.failedInARow >= FAILED_IN_A_ROW;
  }

  private backOff(bounds: { readonly firstMs: number; readonly maxMs: number }): BackOff {
    return new BackOff({ ...bounds, random: this.deps.random ?? Math.random });
  }
}

/** A failure that persists is logged again after this time. */
const LOG_AGAIN_MS = 300_000;
const MAX_REASONS = 20;
/** How many writes are logged in a minute; at the first start there may be thousands. */
const MAX_LOGGED_WRITES = 20;
const LOG_WINDOW_MS = 60_000;

/** The objects that cannot be registered, or are registered by others too. A failure is logged once, however many objects share it. */
export class ReconcileFailures {
  private readonly failures = new Map<string, KubernetesFailure>();
  private readonly loggedAtMs = new Map<string, number>();
  private readonly conflicts = new Set<string>();
  private logWindow = { sinceMs: -Infinity, writes: 0 };

  constructor(
    private readonly plural: string,
    private readonly deps: Pick<InformerDeps, 'log' | 'time'>,
  ) {}

  keys(): Iterable<string> {
    return this.failures.keys();
  }

  failed(key: string, failure: KubernetesFailure): void {
    this.failures.set(key, failure);
    const { message, reason, status, field } = failure;
    const nowMs = this.deps.time.nowMs();
    const loggedAtMs = this.loggedAtMs.get(message);
    if (loggedAtMs === undefined && this.loggedAtMs.size >= MAX_REASONS) return;
    if (loggedAtMs !== undefined && nowMs - loggedAtMs < LOG_AGAIN_MS) return;
    this.loggedAtMs.set(message, nowMs);
    this.deps.log('warn', 'registration_failed', { plural: this.plural, object: key, reason, status, field });
  }

  /** Ends the failure of an object that is synced, or no longer wanted. */
  recovered(key: string): void {
    if (!this.failures.delete(key) || this.failures.size > 0) return;
    this.loggedAtMs.clear();
    this.deps.log('info', 'registration_recovered', { plural: this.plural });
  }

  wrote(key: string, how: 'created' | 'patched' | 'removed'): void {
    const nowMs = this.deps.time.nowMs();
    const { plural } = this;
    if (nowMs - this.logWindow.sinceMs > LOG_WINDOW_MS) {
      const leftOff = this.logWindow.writes - MAX_LOGGED_WRITES;
      if (leftOff > 0) this.deps.log('info', 'registration_reconciled_omitted', { plural, leftOff });
      this.logWindow = { sinceMs: nowMs, writes: 0 };
    }
    this.logWindow.writes += 1;
    if (this.logWindow.writes <= MAX_LOGGED_WRITES)
      this.deps.log('info', 'registration_reconciled', { plural, object: key, how });
  }

  conflict(key: string, isConflict: boolean): void {
    if (!isConflict) this.conflicts.delete(key);
    else if (!this.conflicts.has(key)) {
      this.conflicts.add(key);
      this.deps.log('warn', 'registration_conflict', { plural: this.plural, object: key });
    }
  }

  /** @param failing how many of the `wanted` objects are not synced */
  sentences(failing: number, wanted: number): readonly string[] {
    const latest = [...this.failures.values()].at(-1);
    const { plural, conflicts } = this;
    const sentences: string[] = [];
    if (failing > 0 && latest !== undefined)
      sentences.push(
        `The registration fails for ${failing} of ${wanted} ${plural} (${latest.message}): registration_failed in the log names one.`,
      );
    if (conflicts.size > 0)
      sentences.push(
        `Another provider of the same data is registered for ${conflicts.size} user(s): registration_conflict in the log names it.`,
      );
    return sentences;
  }
}
