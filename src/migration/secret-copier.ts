import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { DomainError } from '../errors/domain-error';
import { TooManyRequests } from '../errors/request-errors';
import { ListTooLarge } from '../errors/store-errors';
import {
  type CallContext,
  isSecretName,
  isSecretValue,
  type Secret,
  type SecretScope,
  UNATTENDED,
} from '../secrets/secret';
import type { SecretRow } from '../stores/infisical/secret-codec';
import type { MonotonicTime } from '../time/clock';
import type { EnvironmentResult, SkippedSecret } from './migration-state';
import { MigrationFailed } from './predecessor-inventory';

/** A row of the predecessor, which escaped neither names nor values: `key` is the secret's name, `stored` its value. */
export type SourceSecret = Pick<SecretRow, 'key' | 'version' | 'updatedAtMs' | 'stored'>;

/** What is copied to: our own store, of which nothing else is used. */
export interface SecretTarget {
  /** @throws DomainError */
  create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void>;
  /** Returns what is stored now, never from a cache. @throws DomainError */
  list(
    scope: SecretScope,
    context: CallContext,
  ): Promise<{ readonly secrets: readonly Secret[]; readonly unreadable?: readonly string[] }>;
}

/** The store refuses one secret, and would refuse it again; the others go on. */
const REFUSALS: ReadonlySet<string> = new Set([
  'INVALID_REQUEST',
  'QUOTA_EXCEEDED',
  'STORE_REFUSED',
  'APPROVAL_REQUIRED',
]);

const AT_ONCE = 4;
const MAX_ATTEMPTS = 6;
const FIRST_PAUSE_MS = 1_000;

/** Copies the secrets of one environment at a time: it creates what is missing, compares everything, and changes nothing that is there. */
export class SecretCopier {
  /** Values are compared by their HMAC under a key of this run, which is never written anywhere. */
  readonly #key = randomBytes(32);

  constructor(
    private readonly target: SecretTarget,
    private readonly time: MonotonicTime,
    private readonly dryRun: boolean,
    private readonly signal: AbortSignal,
  ) {}

  /** @throws MigrationFailed where the store fails, or the run is interrupted; what was created until then stays */
  async copy(scope: SecretScope, rows: readonly SourceSecret[]): Promise<EnvironmentResult> {
    const distinct = distinctSecrets(rows);
    const skipped: SkippedSecret[] = [];
    const skip = (name: string, reason: string) => void skipped.push({ name, reason });
    const values = new Map<string, string>();
    for (const { key: name, stored: value } of distinct) {
      if (!isSecretName(name)) skip(name, 'name_not_allowed');
      else if (value === undefined) skip(name, 'value_hidden');
      else if (!isSecretValue(value)) skip(name, 'value_not_allowed');
      else values.set(name, value);
    }
    const before = await this.#stored(scope);
    const missing = before === undefined ? [] : [...values].filter(([name]) => !before.has(name));
    if (!this.dryRun) await this.#createAll(scope, missing, skip);
    const after = this.dryRun || missing.length === 0 ? before : await this.#stored(scope);
    const refused = new Set(skipped.map(({ name }) => name));
    const result = { written: 0, equal: 0, different: [] as string[] };
    for (const [name, value] of values) {
      if (refused.has(name)) continue;
      if (before === undefined || after === undefined) {
        skip(name, 'list_too_large');
        continue;
      }
      const stored = after.get(name);
      const isSame = stored instanceof Buffer && timingSafeEqual(stored, this.#hmac(value));
      const wasMissing = !before.has(name);
      if (wasMissing && (this.dryRun || isSame)) result.written += 1;
      else if (isSame) result.equal += 1;
      else result.different.push(name);
    }
    return { read: distinct.length, duplicates: rows.length - distinct.length, ...result, skipped };
  }

  async #createAll(
    scope: SecretScope,
    missing: readonly (readonly [name: string, value: string])[],
    skip: (name: string, reason: string) => void,
  ): Promise<void> {
    for (let at = 0; at < missing.length; at += AT_ONCE) {
      this.#requireGoingOn();
      const results = await Promise.allSettled(
        missing.slice(at, at + AT_ONCE).map(async ([name, value]) => {
          const refusal = await this.#create(scope, { name, value });
          if (refusal !== undefined) skip(name, refusal);
        }),
      );
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }
  }

  /** Returns why the store refuses this secret for good; undefined where it has the name now. */
  async #create(scope: SecretScope, secret: Secret): Promise<string | undefined> {
    return this.#persistently(async () => {
      try {
        await this.target.create(scope, secret, UNATTENDED);
        return undefined;
      } catch (error: unknown) {
        if (!(error instanceof DomainError)) throw error;
        // After an attempt with an unknown outcome the name may be ours: the list that follows compares it.
        if (error.reason === 'SECRET_ALREADY_EXISTS') return undefined;
        if (REFUSALS.has(error.reason)) return error.reason.toLowerCase();
        throw error;
      }
    });
  }

  /** Returns undefined where the store has more there than one list holds, which no later attempt changes. */
  async #stored(scope: SecretScope): Promise<ReadonlyMap<string, Buffer | 'unreadable'> | undefined> {
    const listed = await this.#persistently(() =>
      this.target.list(scope, UNATTENDED).catch((error: unknown) => {
        if (error instanceof ListTooLarge) return undefined;
        throw error;
      }),
    );
    if (listed === undefined) return undefined;
    const { secrets, unreadable = [] } = listed;
    return new Map<string, Buffer | 'unreadable'>([
      ...secrets.map(({ name, value }) => [name, this.#hmac(value)] as const),
      ...unreadable.map((name) => [name, 'unreadable'] as const),
    ]);
  }

  /** Repeats a call that the store could not carry out now; a rate limit is waited for, however long. @throws MigrationFailed */
  async #persistently<T>(call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      this.#requireGoingOn();
      try {
        return await call();
      } catch (error: unknown) {
        if (!(error instanceof DomainError)) throw error;
        const isLimited = error instanceof TooManyRequests;
        if (isLimited) attempt -= 1;
        else if (attempt >= MAX_ATTEMPTS)
          throw new MigrationFailed(`The store does not take the secrets: ${error.message}`);
        const pauseMs = isLimited ? error.retryAfterSeconds * 1000 : FIRST_PAUSE_MS * 2 ** (attempt - 1);
        await this.time.pause(pauseMs, this.signal);
      }
    }
  }

  #requireGoingOn(): void {
    if (this.signal.aborted) throw new MigrationInterrupted();
  }

  #hmac(value: string): Buffer {
    return createHmac('sha256', this.#key).update(value).digest();
  }
}

export class MigrationInterrupted extends MigrationFailed {
  constructor() {
    super('The run was interrupted; --resume goes on with it.');
  }
}

/** Returns one row for each name: the highest version, then the latest change. */
function distinctSecrets(rows: readonly SourceSecret[]): readonly SourceSecret[] {
  const chosen = new Map<string, SourceSecret>();
  for (const row of rows) {
    const other = chosen.get(row.key);
    const isNewer =
      other === undefined ||
      row.version > other.version ||
      (row.version === other.version && row.updatedAtMs > other.updatedAtMs);
    if (isNewer) chosen.set(row.key, row);
  }
  return [...chosen.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}
