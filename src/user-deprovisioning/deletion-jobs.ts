import { randomUUID } from 'node:crypto';
import type { LogEvent } from '../logging/log';
import type { Clock } from '../time/clock';
import type { DeletionJobStorage, StoredDeletionJob } from './deletion-job-storage';
import type { EarlierDeletionJobs } from './earlier-deletion-jobs';

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
  /** When a new user of that name was acknowledged: older jobs no longer count. */
  readonly userBackAtMs?: number;
  /** Ids of workspaces that were found and are not known to be removed: a store may stop listing one before it is removed. */
  readonly found?: readonly string[];
}

/** The durable list of deletion jobs, shared by all replicas. */
export class DeletionJobs {
  constructor(
    private readonly storage: DeletionJobStorage,
    private readonly earlier: EarlierDeletionJobs,
    private readonly clock: Clock,
    private readonly log: LogEvent,
  ) {}

  /** Makes a job as of now; it counts once it is added. */
  newJob(user: string): DeletionJob {
    return { id: `removal-${randomUUID()}`, user, requestedAtMs: this.clock.nowMs() };
  }

  /** Resolves once the job is durable. */
  async add(job: DeletionJob): Promise<void> {
    await this.storage.create(encodeJob(job));
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
    for (const job of jobs) await this.change({ ...job, confirmedAtMs: this.clock.nowMs() });
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

  /** Notes that a new user of that name exists: no older job of this name counts from now on. */
  async userIsBack(lastDone: DeletionJob): Promise<void> {
    await this.change({ ...lastDone, userBackAtMs: this.clock.nowMs() });
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

  /** Returns the done job that will be kept for the longest. */
  lastDoneOf(user: string): DeletionJob | undefined {
    const done = this.of(user).filter(({ doneAtMs }) => doneAtMs !== undefined);
    return done.sort((a, b) => (b.doneAtMs ?? 0) - (a.doneAtMs ?? 0))[0];
  }

  /** Returns unfinished jobs that appeared only after a new user of that name was acknowledged. */
  superseded(): readonly DeletionJob[] {
    return this.jobs.filter((job) => job.doneAtMs === undefined && this.isSuperseded(job));
  }

  doneBefore(timeMs: number): readonly DeletionJob[] {
    return this.jobs.filter(({ doneAtMs }) => doneAtMs !== undefined && doneAtMs < timeMs);
  }

  private of(user: string): readonly DeletionJob[] {
    return this.jobs.filter((job) => job.user === user);
  }

  private isDue(job: DeletionJob): boolean {
    return job.doneAtMs === undefined && !this.isSuperseded(job);
  }

  private isSuperseded({ user, requestedAtMs }: DeletionJob): boolean {
    return this.of(user).some(({ userBackAtMs = -Infinity }) => userBackAtMs > requestedAtMs);
  }
}

function encodeJob({ id, ...fields }: DeletionJob): StoredDeletionJob {
  return { id, text: JSON.stringify(fields) };
}

/** Returns undefined where the record is not a job. */
function parseJob({ id, text }: StoredDeletionJob): DeletionJob | undefined {
  const { user, requestedAtMs, confirmedAtMs, doneAtMs, userBackAtMs, found } = fieldsOf(text);
  if (typeof user !== 'string' || typeof requestedAtMs !== 'number') return undefined;
  return {
    id,
    user,
    requestedAtMs,
    ...(typeof confirmedAtMs === 'number' && { confirmedAtMs }),
    ...(typeof doneAtMs === 'number' && { doneAtMs }),
    ...(typeof userBackAtMs === 'number' && { userBackAtMs }),
    ...(isIds(found) && { found }),
  };
}

function isIds(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((id) => typeof id === 'string');
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
