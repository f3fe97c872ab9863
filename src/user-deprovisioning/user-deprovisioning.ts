import type { OnApplicationBootstrap, BeforeApplicationShutdown } from '@nestjs/common';
import { Mutex } from 'async-mutex';
import { DomainError } from '../errors/domain-error';
import { UserRemovalPending } from '../errors/request-errors';
import type { LogEvent } from '../logging/log';
import type { Clock, MonotonicTime } from '../time/clock';
import type { DeletionJobSnapshot, DeletionJobs } from './deletion-jobs';
import type { UserDeletion } from './user-deletion';

interface DeprovisioningDeps {
  readonly clock: Clock;
  readonly time: MonotonicTime;
  readonly log: LogEvent;
  /** Returns 0 up to 1, as Math.random() does. */
  readonly random: () => number;
}

const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 300_000;
/** How often the jobs are read without an event: another replica may have accepted one and stopped before it was done. */
const SWEEP_MS = 600_000;
/** How long a done job is kept: the sender repeats an event for some ten minutes. */
const KEEP_DONE_MS = 3_600_000;
/** How long a stop waits for the step under way; a step that is cut off is done again at the next start. */
const MAX_STOP_WAIT_MS = 2_000;

interface Delay {
  readonly attempts: number;
  readonly notBeforeMs: number;
  /** The cluster still has that user. */
  readonly isHeld: boolean;
}

/**
 * Handles the events of users: a new user finds nothing of an earlier one, and the workspaces of a deleted one are removed in the
 * background, one user after the other. Failures are retried with a growing pause.
 */
export class UserDeprovisioning implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly mutex = new Mutex();
  private readonly stopping = new AbortController();
  private readonly delays = new Map<string, Delay>();
  private waiting = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private failedReads = 0;
  private due = new Set<string>();

  constructor(
    private readonly jobs: DeletionJobs,
    private readonly deletion: UserDeletion,
    private readonly deps: DeprovisioningDeps,
    /** False where the cluster's users are not known, so that nothing may be removed. */
    private readonly enabled: boolean,
  ) {}

  /** Returns at once: an unavailable store delays no start. */
  onApplicationBootstrap(): void {
    if (this.enabled) this.running = this.work();
  }

  /** The number of users with unfinished jobs when they were last read, without those whom the cluster still has. */
  get pending(): number {
    return [...this.due].filter((user) => this.delays.get(user)?.isHeld !== true).length;
  }

  /** Resolves once it is durable that the user is to be removed. The same event may come again. */
  async userDeleted(user: string): Promise<void> {
    // The job's time is that of the event and not that of the mutex, so that it spares a user who returns meanwhile.
    const event = this.jobs.newJob(user);
    // It may be durable although this fails.
    await this.mutex.runExclusive(() => this.jobs.add(event)).finally(() => this.wake(user));
  }

  /**
   * Resolves once nothing of an earlier user of that name is left, nor will be removed. It makes nothing: a workspace is made
   * by its first secret. @throws UserRemovalPending (503), on which the sender repeats the event
   */
  async userCreated(user: string): Promise<void> {
    // The mutex waits for a job that is still being written.
    await this.mutex.runExclusive(async () => {
      const snapshot = await this.jobs.read();
      if (snapshot.dueOf(user).length > 0) {
        this.wake(user);
        throw new UserRemovalPending();
      }
      if (snapshot.hasDoneJobOf(user)) await this.jobs.userIsBack(user, snapshot);
    });
  }

  /** Starts the user's jobs if there are any; to be called when the cluster lost the user, for which they may wait. */
  userIsGone(user: string): void {
    if (this.due.has(user)) this.wake(user);
  }

  /** Starts the user's jobs at once, even where an earlier attempt failed. */
  private wake(user: string): void {
    this.delays.delete(user);
    this.due.add(user);
    this.waiting.abort();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    this.waiting.abort();
    const ended = new AbortController();
    await Promise.race([this.running, this.deps.time.pause(MAX_STOP_WAIT_MS, ended.signal)]);
    ended.abort();
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  private async work(): Promise<void> {
    while (!this.stopped) {
      // Made before the jobs are read, so that an event that comes meanwhile ends the pause after it.
      this.waiting = new AbortController();
      const { signal } = this.waiting;
      const pauseMs = await this.runDueJobs();
      if (!this.stopped) await this.deps.time.pause(pauseMs, signal);
    }
  }

  /** Returns how long to pause afterwards. */
  private async runDueJobs(): Promise<number> {
    try {
      const snapshot = await this.jobs.read();
      await this.deleteOld(snapshot);
      this.failedReads = 0;
      this.due = new Set(snapshot.usersDue());
      // Another replica may have finished a user's jobs.
      for (const user of this.delays.keys()) if (!this.due.has(user)) this.delays.delete(user);
      for (const user of [...this.due]) {
        if (this.stopped) return 0;
        if (this.isReady(user)) await this.attempt(user);
      }
      const waitsMs = [...this.delays.values()].map(
        ({ notBeforeMs }) => notBeforeMs - this.deps.time.nowMs(),
      );
      return Math.max(0, Math.min(SWEEP_MS, ...waitsMs));
    } catch (error: unknown) {
      this.failedReads += 1;
      const reason = reasonOf(error);
      if (!this.stopped)
        this.deps.log('warn', 'user_removal_jobs_unread', { reason, attempt: this.failedReads });
      return this.pauseMs(this.failedReads);
    }
  }

  private async attempt(user: string): Promise<void> {
    const { log } = this.deps;
    const attempts = (this.delays.get(user)?.attempts ?? 0) + 1;
    try {
      const result = await this.deletion.run(user, this.stopping.signal);
      if (result === 'held') {
        if (attempts === 1) log('warn', 'user_removal_held', { user });
        return this.delay(user, attempts, this.pauseMs(attempts), true);
      }
      this.due.delete(user);
      if (result !== 'done') log('info', `user_removal_${result}`, { user });
      this.delays.delete(user);
    } catch (error: unknown) {
      // A stop closes the store during the step: that is no failure, and the next start goes on.
      if (this.stopped) return;
      const pauseMs = this.pauseMs(attempts);
      log('warn', 'user_removal_failed', { user, attempt: attempts, reason: reasonOf(error), pauseMs });
      this.delay(user, attempts, pauseMs, false);
    }
  }

  private delay(user: string, attempts: number, pauseMs: number, isHeld: boolean): void {
    this.delays.set(user, { attempts, notBeforeMs: this.deps.time.nowMs() + pauseMs, isHeld });
  }

  private async deleteOld(snapshot: DeletionJobSnapshot): Promise<void> {
    for (const job of snapshot.superseded()) {
      this.deps.log('warn', 'user_removal_job_too_late', { user: job.user });
      await this.jobs.delete(job);
    }
    const keptSinceMs = this.deps.clock.nowMs() - KEEP_DONE_MS;
    for (const job of snapshot.doneBefore(keptSinceMs)) await this.jobs.delete(job);
  }

  private isReady(user: string): boolean {
    return (this.delays.get(user)?.notBeforeMs ?? -Infinity) <= this.deps.time.nowMs();
  }

  /** Half of the pause is random, so that replicas that lost the same store do not come back at the same moment. */
  private pauseMs(attempts: number): number {
    const maxMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts - 1, 20));
    return (maxMs * (1 + this.deps.random())) / 2;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof DomainError ? error.reason : 'INTERNAL';
}
