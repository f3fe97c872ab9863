import { randomUUID } from 'node:crypto';
import { SecretNotFound, StoreUnavailable } from '../errors/store-errors';
import { fieldsOf, jsonIn } from '../json/json';
import type { LogEvent } from '../logging/log';
import { UNATTENDED } from '../secrets/call-context';
import type { SecretScope } from '../secrets/secret';
import type { SecretStore } from '../secrets/secret-store';
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

/**
 * Where versions up to 0.2.0 kept the deletion jobs: as secrets of a user whom nobody can be, since the name contains a '/', which
 * no namespace may, and is longer than a user name in a token may be.
 */
const EARLIER_SCOPE: SecretScope = {
  user: 'olares-secret-provider/departed-users'.padEnd(300, '/'),
  workspace: 'removal-orders',
  environment: 'prod',
};

/** How long after the start the place is read: during an upgrade a replica of the old version may still write to it. */
const READ_FOR_MS = 3_600_000;

/** Carries the deletion jobs that earlier versions left into the storage of today. */
export class EarlierDeletionJobs {
  private readonly readUntilMs: number;
  private isRead = false;

  constructor(
    private readonly store: SecretStore,
    private readonly storage: DeletionJobStorage,
    private readonly time: MonotonicTime,
    private readonly log: LogEvent,
  ) {
    this.readUntilMs = time.nowMs() + READ_FOR_MS;
  }

  /**
   * Resolves once no job is in the earlier place alone. A job is stored in the new place before it is deleted from the earlier one, and
   * is not replaced there, so that it may be interrupted and repeated, also by several replicas at once.
   */
  async carryOver(): Promise<void> {
    if (this.isRead && this.time.nowMs() >= this.readUntilMs) return;
    const { secrets: jobs, unreadable } = await this.store.list(EARLIER_SCOPE, UNATTENDED);
    if (unreadable !== undefined) throw new StoreUnavailable();
    for (const { name, value } of jobs) {
      await this.storage.create({ id: name, text: value });
      await this.deleteEarlier(name);
    }
    this.isRead = true;
    if (jobs.length > 0) this.log('info', 'user_removal_jobs_carried_over', { count: jobs.length });
  }

  private async deleteEarlier(name: string): Promise<void> {
    try {
      await this.store.delete(EARLIER_SCOPE, name, UNATTENDED);
    } catch (error: unknown) {
      // Another replica has carried it over at the same time.
      if (!(error instanceof SecretNotFound)) throw error;
    }
  }
}
