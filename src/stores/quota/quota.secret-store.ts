import {
  isRefusedRead,
  SecretAlreadyExists,
  SecretNotFound,
  StoreOutcomeUnknown,
  StoreOutOfTime,
} from '../../errors/store-errors';
import {
  type Precondition,
  type Secret,
  secretBytes,
  type SecretScope,
  type CallContext,
} from '../../secrets/secret';
import { SecretStoreDecorator, type CompleteSecretStore } from '../../secrets/secret-store';
import { type MonotonicTime, remainingMs, waitFor } from '../../time/clock';
import { MeasuredUsage } from './measured-usage';
import {
  type CountedWrite,
  exceededBy,
  type NameWrite,
  type QuotaObserver,
  type Quotas,
  type ScopeUsageCounter,
} from './usage-counters';

export interface QuotaDependencies {
  readonly time: MonotonicTime;
  readonly observer?: QuotaObserver | undefined;
}

/** Uncounted deletes may outdate each measurement before it has ended, so outdated usage is measured again only so often. */
const MAX_MEASUREMENTS = 3;

type Call = () => Promise<void>;

/**
 * A decorator that refuses each write by which a workspace or a user would exceed a quota. A write by which nothing grows
 * is never refused, so that whoever holds too much can delete some. Reads are forwarded.
 */
export class QuotaSecretStore extends SecretStoreDecorator {
  readonly #usage: MeasuredUsage;

  constructor(
    inner: CompleteSecretStore,
    private readonly quotas: Quotas,
    private readonly deps: QuotaDependencies,
  ) {
    super(inner);
    const { workspace, user } = quotas;
    const largest = {
      secrets: Math.min(workspace.secrets, user.secrets),
      bytes: Math.min(workspace.bytes, user.bytes),
    };
    this.#usage = new MeasuredUsage(inner, largest, deps.time);
  }

  /** @throws QuotaExceeded */
  override create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    const write = { kind: 'create', name: secret.name, bytes: secretBytes(secret) } as const;
    return this.#limited(scope, write, context, () => this.inner.create(scope, secret, context));
  }

  /** @throws QuotaExceeded */
  override update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const write = { kind: 'update', name: secret.name, bytes: secretBytes(secret) } as const;
    return this.#limited(scope, write, context, () =>
      this.inner.update(scope, secret, context, precondition),
    );
  }

  override delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const write = { kind: 'delete', name, bytes: 0 } as const;
    return this.#limited(scope, write, context, () => this.inner.delete(scope, name, context, precondition));
  }

  override async removeWorkspace(id: string, context: CallContext): Promise<void> {
    try {
      await this.inner.removeWorkspace(id, context);
    } finally {
      this.#usage.invalidateAll();
    }
  }

  /** Notes that another replica wrote to the scope of this key, or to an unknown one. */
  writtenElsewhere(key: string | undefined): void {
    if (key === undefined) this.#usage.invalidateAll();
    else this.#usage.writtenElsewhere(key);
  }

  async #limited(scope: SecretScope, write: NameWrite, context: CallContext, call: Call): Promise<void> {
    const usage = this.#usage.of(scope);
    usage.holders += 1;
    try {
      const isCounted = write.kind !== 'delete' || this.#isCountable(usage, write.name);
      const counted = isCounted ? await this.#admit(scope, usage, write, context) : undefined;
      await this.#finish(usage, write, counted, call);
    } finally {
      usage.holders -= 1;
    }
  }

  /** Returns whether it is known, without a call to another server, how much a delete frees: no delete waits for such a call. */
  #isCountable(usage: ScopeUsageCounter, name: string): boolean {
    const { user, isCurrent } = usage;
    if (user.isWhole) return true;
    return (
      isCurrent && user.isCurrent && (usage.isBusy(name) || this.#usage.sizeOf(usage, name) !== undefined)
    );
  }

  /** Counts the write, once its scope and user are measured. @throws QuotaExceeded */
  async #admit(
    scope: SecretScope,
    usage: ScopeUsageCounter,
    write: NameWrite,
    context: CallContext,
  ): Promise<CountedWrite> {
    const { kind, name } = write;
    let storedSize: { readonly size: number | undefined } | undefined;
    // There is no await between the last check of what is known and begin().
    for (let attempt = 1; ; attempt++) {
      const size = this.#usage.sizeOf(usage, name) ?? storedSize?.size;
      const isSizeMissing =
        kind !== 'create' && size === undefined && storedSize === undefined && !usage.isBusy(name);
      const measured = this.#usage.measured(usage, attempt <= MAX_MEASUREMENTS);
      if (measured !== undefined) await this.#inTime(measured, context);
      else if (isSizeMissing) storedSize = { size: await this.#sizeInStore(scope, name, context) };
      else {
        const counted = usage.begin(write, size);
        const refusal = exceededBy(counted.change, { workspace: usage, user: usage.user }, this.quotas);
        if (refusal === undefined) return counted;
        counted.end('failed');
        const sum = attempt <= MAX_MEASUREMENTS ? this.#usage.measuredSum(usage.user) : undefined;
        if (sum !== undefined) {
          await this.#inTime(sum, context);
          continue;
        }
        const failed = this.#usage.failedFor(usage, refusal.limit);
        if (attempt <= MAX_MEASUREMENTS && (await this.#inTime(this.#usage.retry(failed), context))) continue;
        const other = (await this.#otherRefusal(scope, write, context)) ?? failed[0]?.failed?.error;
        if (other === undefined) this.deps.observer?.quotaExceeded(refusal.limit);
        throw other ?? refusal;
      }
    }
  }

  /** Waits for a measurement, which others may wait for too, as long as this call may. @throws StoreOutOfTime, the reason of the signal */
  #inTime<T>(measuring: Promise<T>, { deadline, signal }: CallContext): Promise<T> {
    const maxMs = remainingMs(deadline, this.deps.time);
    return waitFor(measuring, { maxMs, signal, late: () => new StoreOutOfTime() });
  }

  /** Sends the write. After a delete that was not counted, the next write measures the usage that is left. */
  async #finish(
    usage: ScopeUsageCounter,
    { kind, name, bytes }: NameWrite,
    counted: CountedWrite | undefined,
    call: Call,
  ): Promise<void> {
    try {
      await call();
      counted?.end('done');
      if (counted === undefined) usage.makeStale();
      else this.#usage.written(usage, name, kind === 'delete' ? undefined : bytes);
    } catch (error: unknown) {
      const isUnknown = error instanceof StoreOutcomeUnknown;
      counted?.end(isUnknown ? 'unknown' : 'failed');
      if (isUnknown) usage.makeStale();
      throw error;
    }
  }

  /** Returns the error with which the store would refuse the write if there were no quota; undefined also where the store cannot tell. */
  async #otherRefusal(
    scope: SecretScope,
    { kind, name }: NameWrite,
    context: CallContext,
  ): Promise<Error | undefined> {
    this.inner.requireName(name);
    let exists: boolean;
    try {
      exists = (await this.inner.sizeOf(scope, name, context)) !== undefined;
    } catch (error: unknown) {
      if (isRefusedRead(error)) return undefined;
      throw error;
    }
    if (kind === 'create') return exists ? new SecretAlreadyExists(name) : undefined;
    return exists ? undefined : new SecretNotFound(name);
  }

  /** Returns 0 for a secret that exists and cannot be read, whose size is unknown. */
  async #sizeInStore(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    try {
      return await this.inner.sizeOf(scope, name, context);
    } catch (error: unknown) {
      if (isRefusedRead(error)) return 0;
      throw error;
    }
  }
}
