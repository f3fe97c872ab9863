import { QuotaExceeded, type QuotaLimit } from '../../errors/store-errors';
import type { Usage } from '../../secrets/secret';

/** The most that may be kept in one workspace and environment, and by one user; Infinity where there is no limit. */
export interface Quotas {
  readonly workspace: Usage;
  readonly user: Usage;
}

/** Whoever wants to know which quotas are met. */
export interface QuotaObserver {
  quotaExceeded(limit: QuotaLimit): void;
}

/**
 * The limit that a change breaks; undefined where it breaks none, or nothing grows by it.
 * @param usage with the change in it
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

/** Usage that was measured, and that each write since has changed: it counts what writes under way would take. */
export class UsageCounters implements Usage {
  secrets = 0;
  bytes = 0;
  /** Undefined until it was measured. */
  measuredAtMs: number | undefined;
  /** To be measured again once no write is under way; until then it is rather too much than too little. */
  isStale = false;
  /** Writes that are counted in. */
  underWay = 0;
  /** How many are about to use it: there must be no second one of the same meanwhile. */
  holders = 0;
  #measuring: Promise<void> | undefined;

  /** Whether what a write changes can be counted now. */
  get isCurrent(): boolean {
    return this.measuredAtMs !== undefined && this.#measuring === undefined;
  }

  add({ secrets, bytes }: Usage): void {
    this.secrets += secrets;
    this.bytes += bytes;
  }

  /** Resolves at the end of the measurement that is under way, or begins if it is due; undefined where there is none. */
  measured(isDue: boolean, measure: () => Promise<void>): Promise<void> | undefined {
    if (isDue) this.#measuring ??= measure().finally(() => (this.#measuring = undefined));
    return this.#measuring;
  }
}

export class UserUsageCounter extends UsageCounters {
  /** Whether the store told all of it; where not, it is the sum over the scopes that are kept. */
  isWhole = false;
}

export interface NameWrite {
  readonly kind: 'create' | 'update' | 'delete';
  readonly name: string;
  /** What the secret takes after it. */
  readonly bytes: number;
}

type WriteEnd = 'done' | 'failed' | 'unknown';

/** A write that is counted in. */
export interface CountedWrite {
  /** By how much the usage grew, or shrank, when it was counted in. */
  readonly change: Usage;
  readonly end: (how: WriteEnd) => void;
}

interface BusyName {
  /** What it takes since the last write that ended; undefined where there is no such secret. */
  size: number | undefined;
  readonly writes: Set<NameWrite>;
}

/** Usage of one scope. A name with writes under way counts as the largest that it may be when one of them has ended. */
export class ScopeUsageCounter extends UsageCounters {
  /** A new one with each measurement: what was known of single names before is not believed any more. */
  serial = 0;
  readonly #busy = new Map<string, BusyName>();

  constructor(readonly user: UserUsageCounter) {
    super();
  }

  /** Whether a write to this name is under way, so that what it takes is known. */
  isBusy(name: string): boolean {
    return this.#busy.has(name);
  }

  /** @param size what the name takes, where no write to it is under way; undefined: there is no such secret */
  begin(write: NameWrite, size: number | undefined): CountedWrite {
    const { kind, name, bytes } = write;
    const busy = this.#busy.get(name) ?? { size, writes: new Set() };
    this.#busy.set(name, busy);
    const change = this.#changed(busy, () => busy.writes.add(write));
    this.#underWay(+1);
    const end = (how: WriteEnd): void => {
      this.#underWay(-1);
      this.#changed(busy, () => {
        busy.writes.delete(write);
        // Stores carry out the writes of a scope one after the other: the last to end is the last that was made.
        if (how === 'done') busy.size = kind === 'delete' ? undefined : bytes;
        if (how === 'unknown' && kind !== 'delete') busy.size = Math.max(busy.size ?? 0, bytes);
      });
      if (busy.writes.size === 0) this.#busy.delete(name);
    };
    return { change, end };
  }

  #underWay(by: number): void {
    this.underWay += by;
    this.user.underWay += by;
  }

  #changed(busy: BusyName, change: () => void): Usage {
    const before = largestOf(busy);
    change();
    const after = largestOf(busy);
    const by = { secrets: after.secrets - before.secrets, bytes: after.bytes - before.bytes };
    this.add(by);
    this.user.add(by);
    return by;
  }
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
