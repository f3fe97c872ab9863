import { randomUUID } from 'node:crypto';
import { fieldsOf, jsonIn } from '../json/json';
import type { LogEvent } from '../logging/log';
import type { Clock, MonotonicTime } from '../time/clock';

/** A deletion job in the form in which it is stored. */
export interface StoredDeletionJob {
  readonly id: string;
  /** Well-formed text of some kilobytes at most. */
  readonly text: string;
}

/**
 * Stores deletion jobs as durably as the secrets, in a place where no user's secrets are, and for all replicas. Every
 * implementation passes describeDeletionJobStorage().
 *
 * Ids are of `A-Z`, `a-z`, `0-9` and `-`, at most 100 characters. A resolved write is visible to the next list() of any replica.
 * Any method may throw StoreUnavailable (503) or TooManyRequests (429), and a write StoreOutcomeUnknown (503).
 */
export abstract class DeletionJobStorage {
  /** Returns all jobs, in no order. One that cannot be decrypted fails the list: it may be of a user who is to be removed. */
  abstract list(): Promise<readonly StoredDeletionJob[]>;
  /** Stores a job. Where there is one of that id already, it is kept, so that a repeated create harms nothing. */
  abstract create(job: StoredDeletionJob): Promise<void>;
  /** Replaces a job. Where there is none of that id, none is made: another replica may have deleted it. */
  abstract update(job: StoredDeletionJob): Promise<void>;
  /** Resolves also where there is no job of that id. */
  abstract delete(id: string): Promise<void>;
}

/** The removal of a deleted user's workspaces, and how far it is. Each event makes a job of its own. */
export interface DeletionJob {
  /** The name of its record: a random id. */
  readonly id: string;
  readonly user: string;
  /** When the event arrived. */
  readonly requestedAtMs: number;
  /** When the cluster was first seen without the user: an event alone removes nothing. */
  readonly confirmedAtMs?: number;
  /** A done job is kept for a while, since another job of the same event may still appear. */
  readonly doneAtMs?: number;
  /** When a new user of that name was acknowledged: older jobs no longer count. It has a record of its own, done from the first. */
  readonly userBackAtMs?: number;
  /** Ids of workspaces that were found and are not known to be removed: a store may stop listing one before it is removed. */
  readonly found?: readonly string[];
}

/** The event of a deleted user. */
export interface DeletionEvent {
  readonly job: DeletionJob;
  /** By a clock that nobody sets. */
  readonly arrivedMs: number;
}

/** Jobs that are stored elsewhere. */
interface JobsElsewhere {
  /** Resolves once no job is elsewhere alone. */
  carryOver(): Promise<void>;
}

/** How far the clocks of two replicas may differ. */
const MAX_CLOCK_DIFFERENCE_MS = 1_000;

/**
 * The durable list of deletion jobs, shared by all replicas. The storage knows no compare-and-set, so that an update may undo that of
 * another replica. Nothing but a job's progress can be lost so, which makes it due again: that a user is back is never updated.
 */
export class DeletionJobs {
  constructor(
    private readonly storage: DeletionJobStorage,
    private readonly earlier: JobsElsewhere,
    private readonly clock: Clock,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {}

  /** Makes a job of an event that arrives now; it counts once it is added. */
  newJob(user: string): DeletionEvent {
    return { job: jobAsOf(user, this.clock.nowMs()), arrivedMs: this.time.nowMs() };
  }

  /**
   * Resolves once the job is durable. Where it seems older than a new user who was acknowledged before the event arrived, the clock was
   * set back, and the job is stored again with a later time. A user who came back after the arrival is spared.
   */
  async add({ job, arrivedMs }: DeletionEvent): Promise<void> {
    await this.storage.create(encodeJob(job));
    const backAtMs = (await this.read()).lastBackAtMsOf(job.user);
    const nowMs = job.requestedAtMs + this.time.nowMs() - arrivedMs;
    if (backAtMs > nowMs + MAX_CLOCK_DIFFERENCE_MS)
      await this.storage.create(encodeJob(jobAsOf(job.user, backAtMs + 1)));
  }

  async read(): Promise<DeletionJobSnapshot> {
    await this.earlier.carryOver();
    const jobs = (await this.storage.list()).map(parseJob);
    const unreadable = jobs.filter((job) => job === undefined).length;
    if (unreadable > 0) this.log('warn', 'user_removal_jobs_unreadable', { count: unreadable });
    return new DeletionJobSnapshot(jobs.filter((job) => job !== undefined));
  }

  /** Notes that the cluster is without the user: from now on the jobs are carried out, even if a new user of that name comes. */
  async confirm(jobs: readonly DeletionJob[]): Promise<void> {
    for (const job of jobs)
      if (job.confirmedAtMs === undefined) await this.change({ ...job, confirmedAtMs: this.clock.nowMs() });
  }

  /** Resolves once the ids of workspaces to remove are durable, so that another process can go on with the removal. */
  async addFound(due: readonly DeletionJob[], ids: readonly string[]): Promise<void> {
    const known = new Set(due.flatMap(({ found = [] }) => found));
    const [holder] = due;
    if (holder === undefined || ids.every((id) => known.has(id))) return;
    await this.change({ ...holder, found: [...new Set([...ids, ...(holder.found ?? [])])] });
  }

  /** Drops the ids of removed workspaces, so that they are not removed again. */
  async dropRemoved(user: string, removed: ReadonlySet<string>): Promise<void> {
    for (const { found = [], ...job } of (await this.read()).dueOf(user)) {
      const left = found.filter((id) => !removed.has(id));
      if (left.length < found.length) await this.change({ ...job, found: left });
    }
  }

  /** Marks the jobs as done, except those that another replica has changed meanwhile. */
  async complete(user: string, jobs: readonly DeletionJob[]): Promise<void> {
    const ids = new Set(jobs.map(({ id }) => id));
    const due = (await this.read()).dueOf(user).filter(({ id }) => ids.has(id));
    for (const job of due) await this.change({ ...job, doneAtMs: this.clock.nowMs() });
  }

  /**
   * Notes that a new user of that name exists: no older job of this name counts from now on. This is a new record, since one that is
   * there could be replaced by a slow replica which still holds it as it was.
   */
  async userIsBack(user: string, snapshot: DeletionJobSnapshot): Promise<void> {
    const atMs = Math.max(this.clock.nowMs(), snapshot.lastTimeMsOf(user) + 1);
    const back = { ...jobAsOf(user, atMs), doneAtMs: this.clock.nowMs(), userBackAtMs: atMs };
    await this.storage.create(encodeJob(back));
  }

  async delete({ id }: DeletionJob): Promise<void> {
    await this.storage.delete(id);
  }

  private async change(job: DeletionJob): Promise<void> {
    await this.storage.update(encodeJob(job));
  }
}

/** All jobs as they were at one moment. */
export class DeletionJobSnapshot {
  constructor(private readonly jobs: readonly DeletionJob[]) {}

  /** Returns the users with unfinished jobs, the one who has waited longest first. */
  usersDue(): readonly string[] {
    const waiting = this.jobs.filter((job) => this.isDue(job));
    waiting.sort((a, b) => a.requestedAtMs - b.requestedAtMs);
    return [...new Set(waiting.map(({ user }) => user))];
  }

  dueOf(user: string): readonly DeletionJob[] {
    return this.of(user).filter((job) => this.isDue(job));
  }

  hasDoneJobOf(user: string): boolean {
    return this.of(user).some(({ doneAtMs }) => doneAtMs !== undefined);
  }

  /** Returns when a new user of that name was last acknowledged. */
  lastBackAtMsOf(user: string): number {
    return Math.max(...this.of(user).map(({ userBackAtMs = -Infinity }) => userBackAtMs));
  }

  /** Returns the latest time by which jobs of that user are ordered; it may lie ahead of a clock that was set back. */
  lastTimeMsOf(user: string): number {
    return Math.max(...this.of(user).map(({ requestedAtMs }) => requestedAtMs), this.lastBackAtMsOf(user));
  }

  /** Returns unfinished jobs that appeared only after a new user of that name was acknowledged. */
  superseded(): readonly DeletionJob[] {
    return this.jobs.filter((job) => job.doneAtMs === undefined && this.isSuperseded(job));
  }

  /** Returns jobs that were done before that time, those that supersede others last. */
  doneBefore(timeMs: number): readonly DeletionJob[] {
    const done = this.jobs.filter(({ doneAtMs }) => doneAtMs !== undefined && doneAtMs < timeMs);
    return done.sort((a, b) => (a.userBackAtMs ?? 0) - (b.userBackAtMs ?? 0));
  }

  private of(user: string): readonly DeletionJob[] {
    return this.jobs.filter((job) => job.user === user);
  }

  private isDue(job: DeletionJob): boolean {
    return job.doneAtMs === undefined && !this.isSuperseded(job);
  }

  private isSuperseded({ user, requestedAtMs }: DeletionJob): boolean {
    return this.lastBackAtMsOf(user) > requestedAtMs;
  }
}

function jobAsOf(user: string, requestedAtMs: number): DeletionJob {
  return { id: `removal-${randomUUID()}`, user, requestedAtMs };
}

function encodeJob({ id, ...fields }: DeletionJob): StoredDeletionJob {
  return { id, text: JSON.stringify(fields) };
}

/** Returns undefined where the record is not a job. */
function parseJob({ id, text }: StoredDeletionJob): DeletionJob | undefined {
  const { user, requestedAtMs, confirmedAtMs, doneAtMs, userBackAtMs, found } = fieldsOf(jsonIn(text));
  if (typeof user !== 'string' || typeof requestedAtMs !== 'number') return undefined;
  return {
    id,
    user,
    requestedAtMs,
    ...(typeof confirmedAtMs === 'number' && { confirmedAtMs }),
    ...(typeof doneAtMs === 'number' && { doneAtMs }),
    ...(typeof userBackAtMs === 'number' && { userBackAtMs }),
    ...(Array.isArray(found) && found.every((one) => typeof one === 'string') && { found }),
  };
}
