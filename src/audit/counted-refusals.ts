import type { MonotonicTime } from '../time/clock';
import type { AuditRecord } from './audit-sink';

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
export class CountedRefusals {
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
    let found = this.#bySubject.get(key);
    if (found === undefined) {
      found = { subject, freeAtMs: 0, isAnnounced: false, counts: new Map() };
      this.#bySubject.set(key, found);
    }
    return found;
  }
}

/** The user of an event is only named by its sender. */
function subjectOf({ reason, operation, peer, user, app }: AuditRecord): RefusedSubject {
  const isOfCaller = reason === 'TOO_MANY_REQUESTS' && user !== undefined && !operation.startsWith('User');
  return named(isOfCaller ? { user, app } : { peer });
}

function named({
  peer,
  user,
  app,
}: { readonly [Field in keyof RefusedSubject]: RefusedSubject[Field] | undefined }): RefusedSubject {
  return {
    ...(peer !== undefined && { peer }),
    ...(user !== undefined && { user }),
    ...(app !== undefined && { app }),
  };
}
