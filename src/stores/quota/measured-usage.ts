import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';
import { ListTooLarge, type QuotaLimit } from '../../errors/store-errors';
import { scopeKeyOf, type SecretScope, type ScopeUsage, type Usage, UNATTENDED } from '../../secrets/secret';
import type { UsageSource } from '../../secrets/secret-store';
import { difference, ScopeUsageCounter, UserUsageCounter, type UsageCounters } from './usage-counters';

/** How long a measurement is valid, since others may write to a scope without our notice. */
const MEASUREMENT_TTL_MS = 600_000;
/** When to measure again after a failed measurement, where an earlier one had succeeded. */
const RETRY_AFTER_MS = 60_000;
/** When to do so for a write that would be refused. */
const MEASURED_AGAIN_AFTER_MS = 1_000;
/** The share of a quota up to which a scope is not measured again for each write of another replica. */
const NEARLY_EMPTY = 1 / 4;

/** How many scopes are measured for one write that would be refused. */
const MAX_SCOPES_AT_ONCE = 10;
const MAX_SCOPES = 5_000;
const MAX_USERS = 5_000;
const MAX_SIZES = 20_000;

/** Measures the usage of scopes and users, and caches as many measurements as it may hold. */
export class MeasuredUsage {
  /** In order of their last use. */
  readonly #scopes = new Map<string, ScopeUsageCounter>();
  readonly #users = new Map<string, UserUsageCounter>();
  /** Bounded as a size, since `max` would allocate all places at the start. */
  readonly #sizes = new LRUCache<string, number>({ maxSize: MAX_SIZES, sizeCalculation: () => 1 });
  #measurements = 0;

  /** @param limit what one scope can hold within all quotas, Infinity where there is none; a scope that is too large to be measured counts as this */
  constructor(
    private readonly store: UsageSource,
    private readonly limit: Usage,
    private readonly time: MonotonicTime,
  ) {}

  of(scope: SecretScope): ScopeUsageCounter {
    const key = scopeKeyOf(scope);
    const cached = this.#scopes.get(key);
    const user = cached?.user ?? this.#users.get(scope.user) ?? new UserUsageCounter();
    const usage = cached ?? new ScopeUsageCounter(scope, user);
    user.scopes.add(usage);
    putLast(this.#users, scope.user, user);
    putLast(this.#scopes, key, usage);
    this.#evict();
    return usage;
  }

  /**
   * Returns undefined where the usage of the scope and of its user is known; otherwise await the result, and call it again.
   * @param mayBegin whether outdated usage is measured again; missing usage always is
   */
  measured(usage: ScopeUsageCounter, mayBegin: boolean): Promise<void> | undefined {
    const { user, scope } = usage;
    const userIsDue = isMissing(user) || (mayBegin && isIdle(user) && user.isStale);
    const isDue = isMissing(usage) || (mayBegin && isIdle(usage) && (usage.isStale || this.#isOld(usage)));
    return (
      user.measured(userIsDue, () => this.#measureUser(scope.user, user)) ??
      usage.measured(isDue, () => this.#measureScope(scope, usage))
    );
  }

  /** Measures what is too high of the sum over a user's scopes. Returns undefined where nothing is. */
  measuredSum({ isWhole, scopes }: UserUsageCounter): Promise<unknown> | undefined {
    if (isWhole) return undefined;
    const stale = [...scopes].filter((usage) => usage.isStale && isIdle(usage));
    if (stale.length === 0) return undefined;
    return Promise.all(
      stale.slice(0, MAX_SCOPES_AT_ONCE).map((usage) => this.measured(usage, true) ?? Promise.resolve()),
    );
  }

  /** Returns the scopes that count for a refusal and could not be measured when they were to be. */
  failedFor(usage: ScopeUsageCounter, limit: QuotaLimit): readonly ScopeUsageCounter[] {
    const { isWhole, scopes } = usage.user;
    const counted = limit.startsWith('workspace') ? [usage] : isWhole ? [] : [...scopes];
    return counted.filter(({ failed }) => failed !== undefined);
  }

  /** Measures those again, once no write to them is under way, whose measurement did not fail within the last second. Returns false where all did. */
  async retry(failed: readonly ScopeUsageCounter[]): Promise<boolean> {
    const untilMs = this.time.nowMs() - MEASURED_AGAIN_AFTER_MS;
    const due = failed.filter(({ failed: last }) => last === undefined || last.atMs <= untilMs);
    const measure = async (usage: ScopeUsageCounter): Promise<void> => {
      usage.isStale = true;
      await usage.idle();
      await usage.measured(isIdle(usage), () => this.#measureScope(usage.scope, usage));
    };
    await Promise.all(due.slice(0, MAX_SCOPES_AT_ONCE).map(measure));
    return due.length > 0;
  }

  /** Returns the size of a secret, where it is known since the scope was measured. */
  sizeOf(usage: ScopeUsageCounter, name: string): number | undefined {
    return this.#sizes.get(sizeKey(usage, name));
  }

  /** Notes the size of a written secret. @param bytes undefined where it was deleted */
  written(usage: ScopeUsageCounter, name: string, bytes: number | undefined): void {
    if (bytes === undefined) this.#sizes.delete(sizeKey(usage, name));
    else this.#sizes.set(sizeKey(usage, name), bytes);
  }

  /** Notes that another replica wrote to the scope of this key. */
  writtenElsewhere(key: string): void {
    const usage = this.#scopes.get(key);
    if (usage === undefined) return;
    const { secrets, bytes } = this.limit;
    usage.isStale ||= usage.secrets > secrets * NEARLY_EMPTY || usage.bytes > bytes * NEARLY_EMPTY;
  }

  /** Notes that an unknown scope was written to, or a workspace removed. */
  invalidateAll(): void {
    for (const usage of this.#scopes.values()) usage.isStale = true;
    for (const user of this.#users.values()) user.isStale = user.isWhole;
  }

  async #measureUser(name: string, user: UserUsageCounter): Promise<void> {
    user.isStale = false;
    const whole = await this.store.measureUser(name, UNATTENDED).catch((error: unknown) => {
      user.isStale = true;
      throw error;
    });
    user.measuredAtMs = this.time.nowMs();
    user.isWhole = whole !== undefined;
    if (whole !== undefined) user.add(difference(whole, user));
  }

  async #measureScope(scope: SecretScope, usage: ScopeUsageCounter): Promise<void> {
    usage.isStale = false;
    usage.failed = undefined;
    const measured = await this.#measure(scope, usage);
    if (measured === undefined) {
      usage.measuredAtMs = this.time.nowMs() - MEASUREMENT_TTL_MS + RETRY_AFTER_MS;
      return;
    }
    usage.measuredAtMs = this.time.nowMs();
    this.#measurements += 1;
    usage.serial = this.#measurements;
    for (const [name, bytes] of measured.sizes ?? []) this.written(usage, name, bytes);
    const change = difference(measured, usage);
    usage.add(change);
    // One that was evicted meanwhile counts no more: there may be a second one of its scope.
    if (!usage.user.isWhole && usage.user.scopes.has(usage)) usage.user.add(change);
  }

  /** Returns undefined where it fails and the earlier measurement has to be used. */
  async #measure(scope: SecretScope, usage: ScopeUsageCounter): Promise<ScopeUsage | undefined> {
    try {
      return await this.store.measure(scope, UNATTENDED);
    } catch (error: unknown) {
      if (error instanceof ListTooLarge)
        return { secrets: finite(this.limit.secrets), bytes: finite(this.limit.bytes) };
      if (isMissing(usage) || !(error instanceof Error)) throw error;
      usage.failed = { error, atMs: this.time.nowMs() };
      return undefined;
    }
  }

  #isOld({ measuredAtMs = 0 }: UsageCounters): boolean {
    return this.time.nowMs() - measuredAtMs > MEASUREMENT_TTL_MS;
  }

  #evict(): void {
    const [key, usage] =
      (this.#scopes.size > MAX_SCOPES && first(this.#scopes, ({ holders }) => holders === 0)) || [];
    if (key !== undefined && usage !== undefined) {
      this.#scopes.delete(key);
      usage.user.scopes.delete(usage);
      if (!usage.user.isWhole) usage.user.add(difference({ secrets: 0, bytes: 0 }, usage));
    }
    const [name] =
      (this.#users.size > MAX_USERS && first(this.#users, ({ scopes }) => scopes.size === 0)) || [];
    if (name !== undefined) this.#users.delete(name);
  }
}

function isMissing({ measuredAtMs }: UsageCounters): boolean {
  return measuredAtMs === undefined;
}

function isIdle({ underWay }: UsageCounters): boolean {
  return underWay === 0;
}

function finite(limit: number): number {
  return Number.isFinite(limit) ? limit : 0;
}

function sizeKey({ serial }: ScopeUsageCounter, name: string): string {
  return `${serial} ${name}`;
}

function putLast<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
}

function first<T>(map: ReadonlyMap<string, T>, isIt: (value: T) => boolean): [string, T] | undefined {
  for (const entry of map) if (isIt(entry[1])) return entry;
  return undefined;
}
