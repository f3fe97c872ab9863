import type { MonotonicTime } from '../time/clock';
import { DomainError } from '../errors/domain-error';
import type { LogEvent } from '../logging/log';
import type { DeletionJobStorage, DeletionJobs } from './deletion-jobs';
import type { UserDeletion } from './user-deletion';
import type { OnApplicationBootstrap, BeforeApplicationShutdown } from '@nestjs/common';

interface DeletionWorkerDeps {
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** 0 up to 1; a test makes it certain. */
  readonly random: () => number;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 300_000;
/** Orders that another replica took and did not live to carry out. */
const SWEEP_MS = 600_000;
/** The sender of events repeats one for some ten minutes. */
const KEPT_DONE_MS = 3_600_000;
/** How long a stop waits for the step under way; what is cut off is done again at the next start. */
const LAST_STEP_MS = 2_000;

interface Setback {
  readonly attempts: number;
  readonly notBeforeMs: number;
}

/** Carries out the orders, one user after the other, until stopped; what fails is tried again, less and less often. */
export class DeletionWorker {
  private readonly stopping = new AbortController();
  private readonly setbacks = new Map<string, Setback>();
  private waiting = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private failedReads = 0;
  private due = new Set<string>();

  constructor(
    private readonly orders: DeletionJobs,
    private readonly removal: UserDeletion,
    private readonly around: DeletionWorkerDeps,
  ) {}

  /** Users who are yet to be removed, as the orders were last read. */
  get pending(): number {
    return this.due.size;
  }

  /** Returns at once: a store that is away delays nobody's start. */
  start(): void {
    this.running = this.work();
  }

  /** There is something to do; for `user` at once, whatever went wrong before. */
  wake(user: string): void {
    this.setbacks.delete(user);
    this.due.add(user);
    this.waiting.abort();
  }

  /** The cluster lost this user: what was held for that can begin. */
  wakeIfDue(user: string): void {
    if (this.due.has(user)) this.wake(user);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.waiting.abort();
    const ended = new AbortController();
    const waitLimit = this.around.time.pause(LAST_STEP_MS, ended.signal);
    await Promise.race([this.running, waitLimit]);
    ended.abort();
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  private async work(): Promise<void> {
    while (!this.stopped) {
      // Made anew before the look: what is ordered during it is not slept over.
      this.waiting = new AbortController();
      const { signal } = this.waiting;
      const pauseMs = await this.pass();
      if (!this.stopped) await this.around.time.pause(pauseMs, signal);
    }
  }

  /** @returns how long nothing is to be done */
  private async pass(): Promise<number> {
    try {
      const book = await this.orders.read();
      await this.tidy(book);
      this.failedReads = 0;
      this.due = new Set(book.usersDue());
      // Another replica may have done it: who is not due any more is not waited for.
      for (const user of this.setbacks.keys()) if (!this.due.has(user)) this.setbacks.delete(user);
      for (const user of [...this.due]) {
        if (this.stopped) return 0;
        if (this.isReady(user)) await this.attempt(user, book);
      }
      return this.untilNextMs();
    } catch (error: unknown) {
      this.failedReads += 1;
      const reason = reasonOf(error);
      if (!this.stopped)
        this.around.log('warn', 'user_removal_jobs_unread', { reason, attempt: this.failedReads });
      return this.pauseMs(this.failedReads);
    }
  }

  private async attempt(user: string, book: DeletionJobStorage): Promise<void> {
    const { log, time } = this.around;
    const attempts = (this.setbacks.get(user)?.attempts ?? 0) + 1;
    try {
      const result = await this.removal.run(user, book, this.stopping.signal);
      if (result === 'held') return this.hold(user, attempts);
      this.due.delete(user);
      if (result !== 'done') log('info', `user_removal_${result}`, { user });
      this.setbacks.delete(user);
    } catch (error: unknown) {
      // Once stopped, the store is closed under the step: that is no failure, and the next start goes on.
      if (this.stopped) return;
      const pauseMs = this.pauseMs(attempts);
      log('warn', 'user_removal_failed', { user, attempt: attempts, reason: reasonOf(error), pauseMs });
      this.setbacks.set(user, { attempts, notBeforeMs: time.nowMs() + pauseMs });
    }
  }

  private hold(user: string, attempts: number): void {
    if (attempts === 1) this.around.log('warn', 'user_removal_held', { user });
    this.setbacks.set(user, { attempts, notBeforeMs: this.around.time.nowMs() + this.pauseMs(attempts) });
  }

  private async tidy(book: DeletionJobStorage): Promise<void> {
    for (const order of book.overtaken()) {
      this.around.log('warn', 'user_removal_job_too_late', { user: order.user });
      await this.orders.drop(order);
    }
    for (const order of book.doneBefore(this.around.nowMs() - KEPT_DONE_MS)) await this.orders.drop(order);
  }

  private isReady(user: string): boolean {
    return (this.setbacks.get(user)?.notBeforeMs ?? -Infinity) <= this.around.time.nowMs();
  }

  private untilNextMs(): number {
    const next = [...this.setbacks.values()].map(({ notBeforeMs }) => notBeforeMs - this.around.time.nowMs());
    return Math.max(0, Math.min(SWEEP_MS, ...next));
  }

  /** Half of it by chance: replicas that lost the same store do not come back at the same moment. */
  private pauseMs(attempts: number): number {
    const mostMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts - 1, 20));
    return (mostMs * (1 + this.around.random())) / 2;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof DomainError ? error.reason : 'INTERNAL';
}

/** Ties the worker to the life of the process. */
export class BackgroundDeletions implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    private readonly worker: DeletionWorker,
    /** Where nobody can tell of users, there is nothing to remove. */
    private readonly enabled: boolean,
  ) {}

  onApplicationBootstrap(): void {
    if (this.enabled) this.worker.start();
  }

  /** Users who are yet to be removed, as far as was last seen. */
  get pending(): number {
    return this.worker.pending;
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.worker.stop();
  }
}
