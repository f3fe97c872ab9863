import type { MonotonicTime } from '../../time/clock';
import {
  isUnreachable,
  ListTooLarge,
  SecretAlreadyExists,
  SecretNotFound,
  StoreOutcomeUnknown,
  StoreUnavailable,
} from '../../errors/store-errors';
import { type ReadReport, SecretStore, type StoredWorkspace } from '../../secrets/secret-store';
import { type Secret, type SecretScope, secretBytes } from '../../secrets/secret';
import { afterWaiting } from '../../secrets/secret-store-decorator';
import {
  type CountedWrite,
  type ScopeUsageCounter,
  type NameWrite,
  exceededBy,
  type QuotaObserver,
  type Quotas,
} from './usage-counters';
import { MeasuredUsage } from './measured-usage';

export interface QuotaDependencies {
  readonly time: MonotonicTime;
  readonly observer?: QuotaObserver;
  /** Whose secrets are the service's own, and not limited. */
  readonly unlimitedUser?: string;
}

/** Deletes that cannot be counted may make each measurement stale before it has ended. */
const MAX_MEASURING_LOOKS = 3;

type Call = () => Promise<void>;

/**
 * A decorator that refuses each write by which a workspace or a user would hold more than they may. A write by which
 * nothing grows is never refused, so that whoever holds too much can mend it. Reads are only passed on.
 */
export class QuotaSecretStore extends SecretStore {
  readonly #usage: MeasuredUsage;

  constructor(
    private readonly inner: SecretStore,
    private readonly quotas: Quotas,
    private readonly deps: QuotaDependencies,
  ) {
    super();
    this.#usage = new MeasuredUsage(inner, quotas.workspace, deps.time);
  }

  /** @throws QuotaExceeded */
  create(scope: SecretScope, secret: Secret): Promise<void> {
    const write = { kind: 'create', name: secret.name, bytes: secretBytes(secret) } as const;
    return this.#limited(scope, write, () => this.inner.create(scope, secret));
  }

  /** @throws QuotaExceeded */
  update(scope: SecretScope, secret: Secret): Promise<void> {
    const write = { kind: 'update', name: secret.name, bytes: secretBytes(secret) } as const;
    return this.#limited(scope, write, () => this.inner.update(scope, secret));
  }

  delete(scope: SecretScope, name: string): Promise<void> {
    const write = { kind: 'delete', name, bytes: 0 } as const;
    return this.#limited(scope, write, () => this.inner.delete(scope, name));
  }

  retrieve(scope: SecretScope, name: string, report?: ReadReport): Promise<Secret> {
    return this.inner.retrieve(scope, name, report);
  }

  list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    return this.inner.list(scope, report);
  }

  workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.inner.workspacesOf(user);
  }

  async removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    try {
      await this.inner.removeWorkspace(workspace);
    } finally {
      this.#usage.invalidateAll();
    }
  }

  ping(): Promise<void> {
    return this.inner.ping();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  override requireName(name: string): void {
    this.inner.requireName(name);
  }

  /** Another replica wrote to the scope of this key; undefined: nobody knows to which. */
  writtenElsewhere(key: string | undefined): void {
    if (key === undefined) this.#usage.invalidateAll();
    else this.#usage.writtenElsewhere(key);
  }

  async #limited(scope: SecretScope, write: NameWrite, call: Call): Promise<void> {
    if (scope.user === this.deps.unlimitedUser) return call();
    const usage = this.#usage.of(scope);
    const beganMs = this.deps.time.nowMs();
    usage.holders += 1;
    try {
      if (write.kind === 'delete' && !this.#isCountable(usage, write.name))
        return await uncounted(usage, call);
      const counted = await this.#admitted(scope, usage, write);
      await this.#counted(usage, write, counted, () => {
        return afterWaiting(this.deps.time.nowMs() - beganMs, call);
      });
    } finally {
      usage.holders -= 1;
    }
  }

  /** Whether it costs no call to another server to know what a delete frees: none waits for one. */
  #isCountable(usage: ScopeUsageCounter, name: string): boolean {
    const { user, isCurrent } = usage;
    if (user.isWhole) return true;
    return (
      isCurrent && user.isCurrent && (usage.isBusy(name) || this.#usage.sizeOf(usage, name) !== undefined)
    );
  }

  /** Counted in, once its scope and user are measured. @throws QuotaExceeded */
  async #admitted(scope: SecretScope, usage: ScopeUsageCounter, write: NameWrite): Promise<CountedWrite> {
    const { kind, name } = write;
    let asked: { readonly size: number | undefined } | undefined;
    // Nothing may come between the last look at what is known and begin().
    for (let look = 1; ; look++) {
      const size = this.#usage.sizeOf(usage, name) ?? asked?.size;
      const isAskedFor =
        kind !== 'create' && size === undefined && asked === undefined && !usage.isBusy(name);
      const measured = this.#usage.measured(scope, usage, look <= MAX_MEASURING_LOOKS);
      if (measured !== undefined) await measured;
      else if (isAskedFor) asked = { size: await this.#askedSize(scope, name) };
      else {
        const counted = usage.begin(write, size);
        const refusal = exceededBy(counted.change, { workspace: usage, user: usage.user }, this.quotas);
        if (refusal === undefined) return counted;
        counted.end('failed');
        const other = await this.#otherRefusal(scope, write);
        if (other === undefined) this.deps.observer?.quotaExceeded(refusal.limit);
        throw other ?? refusal;
      }
    }
  }

  async #counted(
    usage: ScopeUsageCounter,
    write: NameWrite,
    counted: CountedWrite,
    call: Call,
  ): Promise<void> {
    const { kind, name, bytes } = write;
    try {
      await call();
      counted.end('done');
      this.#usage.written(usage, name, kind === 'delete' ? undefined : bytes);
    } catch (error: unknown) {
      const isUnknown = error instanceof StoreOutcomeUnknown;
      counted.end(isUnknown ? 'unknown' : 'failed');
      if (isUnknown) makeStale(usage);
      throw error;
    }
  }

  /** What the store would say to the write if there were no quota. */
  async #otherRefusal(scope: SecretScope, { kind, name }: NameWrite): Promise<Error | undefined> {
    this.inner.requireName(name);
    const exists = (await this.#askedSize(scope, name)) !== undefined;
    if (kind === 'create') return exists ? new SecretAlreadyExists(name) : undefined;
    return exists ? undefined : new SecretNotFound(name);
  }

  /** Of a secret that is there and cannot be read, no more than that is known. */
  async #askedSize(scope: SecretScope, name: string): Promise<number | undefined> {
    try {
      return await this.inner.sizeOf(scope, name);
    } catch (error: unknown) {
      if (error instanceof ListTooLarge || (error instanceof StoreUnavailable && !isUnreachable(error)))
        return 0;
      throw error;
    }
  }
}

/** The next write has what this one left measured. */
async function uncounted(usage: ScopeUsageCounter, call: Call): Promise<void> {
  try {
    await call();
    makeStale(usage);
  } catch (error: unknown) {
    if (error instanceof StoreOutcomeUnknown) makeStale(usage);
    throw error;
  }
}

function makeStale(usage: ScopeUsageCounter): void {
  usage.isStale = true;
  usage.user.isStale = true;
}
