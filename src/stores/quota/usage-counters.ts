import { QuotaExceeded, type QuotaLimit } from '../../errors/store-errors';
import type { SecretScope, Usage } from '../../secrets/secret';

/** The maximum usage of one workspace and environment, and of one user; Infinity where there is no limit. */
export interface Quotas {
  readonly workspace: Usage;
  readonly user: Usage;
}

/** Observes which quotas refuse writes. */
export interface QuotaObserver {
  quotaExceeded(limit: QuotaLimit): void;
}

/**
 * Returns the quota that a change exceeds; undefined where there is none, or nothing grows by it.
 * @param usage with the change included
 */
export function exceededBy(change: Usage, usage: Quotas, quotas: Quotas): QuotaExceeded | undefined {
  for (const of of ['workspace', 'user'] as const) {
    const { secrets, bytes } = usage[of];
    const max = quotas[of];
    if (change.secrets > 0 && secrets > max.secrets)
      return new QuotaExceeded(`${of}_secrets`, max.secrets, secrets - change.secrets);
    if (change.bytes > 0 && bytes > max.bytes)
      return new QuotaExceeded(`${of}_bytes`, max.bytes, bytes - change.bytes);
  }
  return undefined;
}

/** Measured usage, changed by each write since. Writes under way count as if they had succeeded. */
export class UsageCounters implements Usage {
  secrets = 0;
  bytes = 0;
  measuredAtMs: number | undefined;
  /** To be measured again once no write is under way; until then it is rather too high than too low. */
  isStale = false;
  /** Why it could not be measured when it was to be; what is known is older. */
  failed: { readonly error: Error; readonly atMs: number } | undefined;
  /** The number of counted writes under way. */
  underWay = 0;
  #measuring: Promise<void> | undefined;
  #whenIdle: (() => void)[] = [];

  /** Whether a write can be counted now. */
  get isCurrent(): boolean {
    return this.measuredAtMs !== undefined && this.#measuring === undefined;
  }

  async idle(): Promise<void> {
    if (this.underWay > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  addUnderWay(by: number): void {
    this.underWay += by;
    if (this.underWay === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  add({ secrets, bytes }: Usage): void {
    this.secrets += secrets;
    this.bytes += bytes;
  }

  /** Begins a measurement where it is due. Returns the one that is under way, or undefined. */
  measured(isDue: boolean, measure: () => Promise<void>): Promise<void> | undefined {
    if (isDue) this.#measuring ??= measure().finally(() => (this.#measuring = undefined));
    return this.#measuring;
  }
}

export class UserUsageCounter extends UsageCounters {
  /** Whether the store measured all of it; otherwise it is the sum over the cached scopes. */
  isWhole = false;
  /** The counters of its scopes; while there are any, this one is not evicted, so that there is no second one. */
  readonly scopes = new Set<ScopeUsageCounter>();
}

export interface NameWrite {
  readonly kind: 'create' | 'update' | 'delete';
  readonly name: string;
  /** The size of the secret after the write. */
  readonly bytes: number;
}

type WriteEnd = 'done' | 'failed' | 'unknown';

/** A write under way that the usage includes. */
export interface CountedWrite {
  /** By how much the usage grew, or shrank, when the write began. */
  readonly change: Usage;
  readonly end: (how: WriteEnd) => void;
}

interface BusyName {
  /** The size since the last write that ended; undefined where there is no such secret. */
  size: number | undefined;
  /** Whether the first write was a create that had not to know the size: there may have been a secret. */
  isAssumed: boolean;
  readonly writes: Set<NameWrite>;
}

/** The usage of one scope. A name with writes under way counts as the largest size that it may have after one of them. */
export class ScopeUsageCounter extends UsageCounters {
  /** Changes with each measurement, which makes all earlier sizes of single names invalid. */
  serial = 0;
  /** The number of calls that use this counter: while there are any, it is not evicted, so that there is no second one. */
  holders = 0;
  readonly #busy = new Map<string, BusyName>();

  constructor(
    readonly scope: SecretScope,
    readonly user: UserUsageCounter,
  ) {
    super();
  }

  /** Returns whether a write to this name is under way, so that its size is known. */
  isBusy(name: string): boolean {
    return this.#busy.has(name);
  }

  /** @param size the present size, needed but for a create where no write to the name is under way; undefined where there is no such secret */
  begin(write: NameWrite, size: number | undefined): CountedWrite {
    const { kind, name, bytes } = write;
    const busy = this.#busy.get(name) ?? {
      size,
      isAssumed: kind === 'create' && size === undefined,
      writes: new Set(),
    };
    this.#busy.set(name, busy);
    const change = this.#changed(busy, () => busy.writes.add(write));
    this.#underWay(+1);
    const end = (how: WriteEnd): void => {
      this.#underWay(-1);
      // There was a secret after all, whose size was counted already.
      if (how === 'done' && busy.isAssumed && kind !== 'create') this.makeStale();
      if (how === 'done') busy.isAssumed = false;
      this.#changed(busy, () => {
        busy.writes.delete(write);
        // Stores carry out the writes of a scope one after the other, so the last one to end is the last one made.
        if (how === 'done') busy.size = kind === 'delete' ? undefined : bytes;
        if (how === 'unknown' && kind !== 'delete') busy.size = Math.max(busy.size ?? 0, bytes);
      });
      if (busy.writes.size === 0) this.#busy.delete(name);
    };
    return { change, end };
  }

  /** Has the scope measured again, and its user. */
  makeStale(): void {
    this.isStale = true;
    this.user.isStale = true;
  }

  #underWay(by: number): void {
    this.addUnderWay(by);
    this.user.addUnderWay(by);
  }

  #changed(busy: BusyName, change: () => void): Usage {
    const before = largestOf(busy);
    change();
    const by = difference(largestOf(busy), before);
    this.add(by);
    this.user.add(by);
    return by;
  }
}

export function difference(to: Usage, from: Usage): Usage {
  return { secrets: to.secrets - from.secrets, bytes: to.bytes - from.bytes };
}

function largestOf({ size, writes }: BusyName): Usage {
  let exists = size !== undefined;
  let bytes = size ?? 0;
  for (const write of writes) {
    exists ||= write.kind === 'create';
    bytes = Math.max(bytes, write.bytes);
  }
  return { secrets: exists ? 1 : 0, bytes };
}
