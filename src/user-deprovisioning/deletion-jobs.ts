import { randomUUID } from 'node:crypto';
import type { Clock } from '../time/clock';
import { SecretNotFound } from '../errors/store-errors';
import type { LogEvent } from '../logging/log';
import type { SecretScope } from '../secrets/secret';
import type { SecretStore } from '../secrets/secret-store';

/** That a user was deleted, and how far the removal of that user's workspaces is. Each event makes an order of its own. */
export interface DeletionJob {
  /** The name of its record: a random id. */
  readonly id: string;
  readonly user: string;
  /** When the event arrived. */
  readonly requestedAtMs: number;
  /** When the cluster itself was first seen without the user: an event alone removes nothing. */
  readonly confirmedAtMs?: number;
  /** Kept for a while when done: an order of the same event may still come to light. */
  readonly doneAtMs?: number;
  /** When it was acknowledged that a user of that name is there again: orders from before count no more. */
  readonly userBackAtMs?: number;
  /** Ids of workspaces that were found and are not known to be gone: a store may lose sight of one before it is. */
  readonly found?: readonly string[];
}

function encodeJob({ id: _name, ...fields }: DeletionJob): string {
  return JSON.stringify(fields);
}

/** undefined for what is not an order. */
function parseJob(id: string, text: string): DeletionJob | undefined {
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

/** All orders as they were at one moment. */
export class DeletionJobStorage {
  constructor(private readonly orders: readonly DeletionJob[]) {}

  /** The users who are yet to be removed, the one who waits longest first. */
  usersDue(): readonly string[] {
    const waiting = this.orders.filter((order) => this.isDue(order));
    waiting.sort((a, b) => a.requestedAtMs - b.requestedAtMs);
    return [...new Set(waiting.map(({ user }) => user))];
  }

  dueOf(user: string): readonly DeletionJob[] {
    return this.of(user).filter((order) => this.isDue(order));
  }

  /** The one that will be kept for the longest. */
  lastDoneOf(user: string): DeletionJob | undefined {
    const done = this.of(user).filter(({ doneAtMs }) => doneAtMs !== undefined);
    return done.sort((a, b) => (b.doneAtMs ?? 0) - (a.doneAtMs ?? 0))[0];
  }

  /** Orders that came to light only after the user was there again. */
  overtaken(): readonly DeletionJob[] {
    return this.orders.filter((order) => order.doneAtMs === undefined && this.isOvertaken(order));
  }

  doneBefore(timeMs: number): readonly DeletionJob[] {
    return this.orders.filter(({ doneAtMs }) => doneAtMs !== undefined && doneAtMs < timeMs);
  }

  private of(user: string): readonly DeletionJob[] {
    return this.orders.filter((order) => order.user === user);
  }

  private isDue(order: DeletionJob): boolean {
    return order.doneAtMs === undefined && !this.isOvertaken(order);
  }

  private isOvertaken({ user, requestedAtMs }: DeletionJob): boolean {
    return this.of(user).some(({ userBackAtMs = -Infinity }) => userBackAtMs > requestedAtMs);
  }
}

/**
 * Where the orders are kept: beside the secrets, so that they last as long. No user can bear that name: it holds a '/',
 * which no namespace may, and is longer than a user name of a token may be.
 */
export const ORDERS: SecretScope = {
  user: 'olares-secret-provider/departed-users'.padEnd(300, '/'),
  workspace: 'removal-orders',
  environment: 'prod',
};

/** The durable list of users who are to be removed, the same for all replicas. */
export class DeletionJobs {
  constructor(
    private readonly store: SecretStore,
    private readonly clock: Clock,
    private readonly log: LogEvent,
  ) {}

  /** As of now; it counts once it is added. */
  newOrder(user: string): DeletionJob {
    return { id: `removal-${randomUUID()}`, user, requestedAtMs: this.clock.nowMs() };
  }

  /** Resolves once it is durable. */
  async add(order: DeletionJob): Promise<void> {
    await this.store.create(ORDERS, { name: order.id, value: encodeJob(order) });
  }

  async read(): Promise<DeletionJobStorage> {
    const records = await this.store.list(ORDERS);
    const orders = records.map(({ name, value }) => parseJob(name, value));
    const unreadable = orders.filter((order) => order === undefined).length;
    if (unreadable > 0) this.log('warn', 'user_removal_jobs_unreadable', { count: unreadable });
    return new DeletionJobStorage(orders.filter((order) => order !== undefined));
  }

  /** The cluster is without the user: from now on what is due is carried out, whoever comes to be called like that. */
  async confirm(orders: readonly DeletionJob[]): Promise<void> {
    for (const order of orders) await this.change({ ...order, confirmedAtMs: this.clock.nowMs() });
  }

  /** Resolves once it is durable that these are to go: whoever goes on with the removal asks for them again. */
  async remember(due: readonly DeletionJob[], ids: readonly string[]): Promise<void> {
    const known = new Set(due.flatMap(({ found = [] }) => found));
    const [holder] = due;
    if (holder === undefined || ids.every((id) => known.has(id))) return;
    await this.change({ ...holder, found: [...new Set([...ids, ...(holder.found ?? [])])] });
  }

  /** What is gone for good is not asked for again. */
  async forget(user: string, gone: ReadonlySet<string>): Promise<void> {
    for (const { found = [], ...order } of (await this.read()).dueOf(user)) {
      const left = found.filter((id) => !gone.has(id));
      if (left.length < found.length) await this.change({ ...order, found: left });
    }
  }

  /** Leaves alone what another replica did meanwhile. */
  async complete(user: string, orders: readonly DeletionJob[]): Promise<void> {
    const ids = new Set(orders.map(({ id }) => id));
    const due = (await this.read()).dueOf(user).filter(({ id }) => ids.has(id));
    for (const order of due) await this.change({ ...order, doneAtMs: this.clock.nowMs() });
  }

  /** From now on no older order of this user counts. */
  async userIsBack(lastDone: DeletionJob): Promise<void> {
    await this.change({ ...lastDone, userBackAtMs: this.clock.nowMs() });
  }

  async drop({ id }: DeletionJob): Promise<void> {
    await unlessGone(this.store.delete(ORDERS, id));
  }

  private async change(order: DeletionJob): Promise<void> {
    await unlessGone(this.store.update(ORDERS, { name: order.id, value: encodeJob(order) }));
  }
}

async function unlessGone(write: Promise<void>): Promise<void> {
  try {
    await write;
  } catch (error: unknown) {
    if (!(error instanceof SecretNotFound)) throw error;
  }
}
