import { AuditUnavailable } from '../errors/request-errors';
import type { LogEvent } from '../logging/log';
import { type MonotonicTime, waitFor } from '../time/clock';
import type { AuditChain, SecretPlace } from './audit-chain';
import { type AuditRecord, type AuditSink, AuditSinkFailed } from './audit-sink';
import { SecretNotFound } from '../errors/store-errors';
import { type ListedSecrets, type RetrievedSecret, SecretStoreDecorator } from '../secrets/secret-store';
import type { Precondition, Secret, SecretScope, CallContext } from '../secrets/secret';

/** How long refusals are counted until their number is recorded. */
const RECORD_COUNTS_AFTER_MS = 10_000;

/** Observes whether records are taken. */
export interface AuditObserver {
  recorded(wasTaken: boolean): void;
}

/** Has records taken in time, or has their operations refused. */
export class AuditTrail {
  /** Why records are not taken; undefined while they are. */
  #failure: string | undefined;
  readonly #refusals: CountedRefusals;
  #cancelCounts: (() => void) | undefined;

  constructor(
    private readonly sink: AuditSink,
    private readonly chain: AuditChain,
    private readonly deadlineMs: number,
    private readonly deps: {
      readonly log: LogEvent;
      readonly observer: AuditObserver | undefined;
      readonly time: MonotonicTime;
    },
  ) {
    this.#refusals = new CountedRefusals(deps.time);
  }

  /**
   * Resolves once the sink has taken the record. One that is late may still be taken after its operation was refused.
   * @throws AuditUnavailable (503)
   */
  async take(record: AuditRecord): Promise<void> {
    try {
      const late = (): Error => new AuditSinkFailed('deadline');
      await waitFor(this.sink.append(record), { maxMs: this.deadlineMs, late });
    } catch (error: unknown) {
      this.#failed(error instanceof AuditSinkFailed ? error.failure : 'unknown');
      throw new AuditUnavailable();
    }
    this.deps.observer?.recorded(true);
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.deps.log('info', 'audit_recovered');
  }

  /**
   * Takes the record of a refusal whose number nobody bounds, or counts it where there are too many. While no records are taken
   * each is tried, since an answer without a record must not leave.
   * @throws AuditUnavailable (503)
   */
  async takeRefusal(record: AuditRecord): Promise<void> {
    const how = this.#failure === undefined ? this.#refusals.admit(record) : 'recorded';
    if (how === 'recorded') return this.take(record);
    this.#takeCountsLater();
    if (how === 'counted') return;
    await this.take({ ...record, suppressing: true });
    this.#refusals.announced(record);
  }

  valueMac(place: SecretPlace, value: string): string {
    return this.chain.valueMac(place, value);
  }

  /** Returns what an operator should fix, for readiness. */
  problems(): readonly string[] {
    if (this.#failure === undefined) return [];
    return [
      `The audit trail takes no records (${this.#failure}): operations are refused with AUDIT_UNAVAILABLE.`,
    ];
  }

  async close(): Promise<void> {
    this.#cancelCounts?.();
    await this.#takeCounts();
    await waitFor(this.sink.close(), { maxMs: this.deadlineMs }).catch(() => undefined);
  }

  /** Records what was counted; what is not taken is counted further. */
  async #takeCounts(): Promise<void> {
    this.#cancelCounts = undefined;
    const counts = this.#refusals.takeCounts(new Date().toISOString());
    const taken = await Promise.allSettled(counts.map((record) => this.take(record)));
    const lost = counts.filter((_, at) => taken[at]?.status === 'rejected');
    for (const record of lost) this.#refusals.putBack(record);
    if (lost.length > 0) this.#takeCountsLater();
  }

  #takeCountsLater(): void {
    this.#cancelCounts ??= this.deps.time.after(RECORD_COUNTS_AFTER_MS, () => void this.#takeCounts());
  }

  #failed(failure: string): void {
    this.deps.observer?.recorded(false);
    if (failure === this.#failure) return;
    this.#failure = failure;
    this.deps.log('error', 'audit_unavailable', { cause: failure });
  }
}

/** So many refusals of one subject have a record of their own at once, and one more each second. */
const BURST = 60;
const REFILL_MS = 1_000;
/** Subjects beyond it share one count. */
const MAX_SUBJECTS = 1_024;

/** Whose refusals are counted together: strangers at one address, or an app that is beyond its rate limit. */
type RefusedSubject = Pick<AuditRecord, 'peer' | 'app' | 'user'>;

interface Refused {
  readonly subject: RefusedSubject;
  /** The time at which all of the burst is free again. */
  freeAtMs: number;
  /** Whether a record says that the next ones are counted only. */
  isAnnounced: boolean;
  readonly counts: Map<string, number>;
}

/**
 * Bounds how many records of refusals anybody can cause: beyond a rate they are counted, and the counts are recorded. Nothing is
 * counted before a record says so, so that a crash cannot hide that there were more.
 */
class CountedRefusals {
  readonly #bySubject = new Map<string, Refused>();

  constructor(private readonly time: MonotonicTime) {}

  /** Returns how a refusal is recorded: on its own, on its own with the announcement that the next ones are counted, or only counted. */
  admit(record: AuditRecord): 'recorded' | 'announcing' | 'counted' {
    const refused = this.#of(subjectOf(record));
    const nowMs = this.time.nowMs();
    refused.freeAtMs = Math.max(refused.freeAtMs, nowMs);
    if (refused.freeAtMs + REFILL_MS <= nowMs + BURST * REFILL_MS) {
      refused.freeAtMs += REFILL_MS;
      return 'recorded';
    }
    if (!refused.isAnnounced) return 'announcing';
    const key = `${record.operation} ${record.outcome ?? ''} ${record.reason ?? ''}`;
    refused.counts.set(key, (refused.counts.get(key) ?? 0) + 1);
    return 'counted';
  }

  /** To be called once the announcement was taken. */
  announced(record: AuditRecord): void {
    this.#of(subjectOf(record)).isAnnounced = true;
  }

  /** Returns the records of what was counted since; whoever is counted further is announced again. */
  takeCounts(now: string): readonly AuditRecord[] {
    const records: AuditRecord[] = [];
    for (const [key, refused] of this.#bySubject) {
      refused.isAnnounced = false;
      if (refused.counts.size > 0) {
        const refusals = Object.fromEntries(refused.counts);
        records.push({ time: now, event: 'suppressed', operation: 'Refusals', ...refused.subject, refusals });
        refused.counts.clear();
      } else if (refused.freeAtMs <= this.time.nowMs()) this.#bySubject.delete(key);
    }
    return records;
  }

  /** Counts again what a record that was not taken had counted. */
  putBack({ refusals = {}, peer, user, app }: AuditRecord): void {
    const { counts } = this.#of(named({ peer, user, app }));
    for (const [key, count] of Object.entries(refusals)) counts.set(key, (counts.get(key) ?? 0) + count);
  }

  #of(asked: RefusedSubject): Refused {
    const isNew = !this.#bySubject.has(JSON.stringify(asked));
    // Those beyond the bound have nothing in common but being too many.
    const subject = isNew && this.#bySubject.size >= MAX_SUBJECTS ? {} : asked;
    const key = JSON.stringify(subject);
    const found = this.#bySubject.get(key) ?? { subject, freeAtMs: 0, isAnnounced: false, counts: new Map() };
    this.#bySubject.set(key, found);
    return found;
  }
}

/** The user of an event is only named by its sender. */
function subjectOf({ reason, operation, peer, user, app }: AuditRecord): RefusedSubject {
  const isOfCaller = reason === 'TOO_MANY_REQUESTS' && user !== undefined && !operation.startsWith('User');
  return named(isOfCaller ? { user, app } : { peer });
}

function named({ peer, user, app }: { [F in keyof RefusedSubject]: string | undefined }): RefusedSubject {
  return {
    ...(peer !== undefined && { peer }),
    ...(user !== undefined && { user }),
    ...(app !== undefined && { app }),
  };
}

/** Tells the audit of a call what it touches. A write is sent only once its attempt is recorded. */
export class AuditedSecretStore extends SecretStoreDecorator {
  override async create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    await context.audit?.writes(scope, secret.name, secret.value);
    return this.inner.create(scope, secret, context);
  }

  override async update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await context.audit?.writes(scope, secret.name, secret.value);
    return this.inner.update(scope, secret, context, precondition);
  }

  override async delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await context.audit?.writes(scope, name);
    return this.inner.delete(scope, name, context, precondition);
  }

  override async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    context.audit?.reads(scope, name);
    try {
      const retrieved = await this.inner.retrieve(scope, name, context);
      if (retrieved.staleForMs !== undefined) context.audit?.answeredStale(retrieved.staleForMs);
      return retrieved;
    } catch (error: unknown) {
      if (error instanceof SecretNotFound && error.staleForMs !== undefined)
        context.audit?.answeredStale(error.staleForMs);
      throw error;
    }
  }

  override async list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    context.audit?.reads(scope);
    const listed = await this.inner.list(scope, context);
    if (listed.staleForMs !== undefined) context.audit?.answeredStale(listed.staleForMs);
    return listed;
  }
}
