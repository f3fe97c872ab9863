import { LRUCache } from 'lru-cache';
import type { MonotonicTime } from '../../time/clock';
import {
  isUnreachable,
  leftAsItWas,
  SecretAlreadyExists,
  SecretNotFound,
  StoreOutcomeUnknown,
} from '../../errors/store-errors';
import {
  scopeKeyOf,
  type Secret,
  type SecretScope,
  usageOf,
  type ScopeUsage,
  type Usage,
} from '../../secrets/secret';
import { type ReadReport, SecretStore, type StoredWorkspace } from '../../secrets/secret-store';
import { type CacheObserver, IndeterminateNames } from './cache-entries';
import { CachedReads, type CachedReadsOptions } from './cached-reads';
import { LargeTexts } from './large-texts';
import { Snapshot, type Moment } from './snapshot';
import type { InvalidationBus } from './invalidation-bus';

export interface CacheOptions extends CachedReadsOptions {
  /** How long what was read is served without asking. */
  readonly ttlMs: number;
}

export interface CachedSecretStoreDeps {
  readonly time: MonotonicTime;
  readonly invalidationBus: InvalidationBus;
  readonly observer?: CacheObserver;
}

/** One name as a write leaves it: without a value where it was deleted. */
interface Written {
  readonly name: string;
  readonly value?: string;
}

interface ScopeLookup {
  readonly scope: SecretScope;
  readonly name: string;
  readonly moment: Moment;
}

/** Where other replicas are not heard, this is all that bounds what one of them wrote. */
const UNHEARD_TTL_MS = 1_000;
/** What is not there is looked for again sooner: whoever asks for it often waits for it. */
const ABSENT_TTL_MS = 1_000;
const MAX_SCOPES_BY_NAME = 10_000;
const STORE_IS_AWAY = 'What was read lately is served from memory, all else is refused with 503.';

/**
 * A store whose reads are answered from memory for a short time. A write that ended is seen by every read that begins
 * after it; what other replicas write, as soon as they tell.
 */
export class CachedSecretStore extends SecretStore {
  readonly #reads: CachedReads;
  /** Scopes of which the store showed one name only, when it was last asked. */
  readonly #indeterminate = new IndeterminateNames();
  readonly #texts: LargeTexts;
  readonly #byName = new LRUCache<string, true>({ max: MAX_SCOPES_BY_NAME });
  #awayBecause: string | undefined;

  constructor(
    private readonly inner: SecretStore,
    private readonly options: CacheOptions,
    private readonly around: CachedSecretStoreDeps,
  ) {
    super();
    this.#reads = new CachedReads(options, around.time, around.observer);
    this.#texts = new LargeTexts(around.time);
    around.invalidationBus.listen((written) =>
      this.#reads.invalidate(written === 'unknown' ? undefined : written.scope),
    );
  }

  async create(scope: SecretScope, secret: Secret): Promise<void> {
    return this.#write(scopeKeyOf(scope), () => this.inner.create(scope, secret), secret);
  }

  async update(scope: SecretScope, secret: Secret): Promise<void> {
    return this.#write(scopeKeyOf(scope), () => this.inner.update(scope, secret), secret);
  }

  async delete(scope: SecretScope, name: string): Promise<void> {
    return this.#write(scopeKeyOf(scope), () => this.inner.delete(scope, name), { name });
  }

  async removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    return this.#write(undefined, () => this.inner.removeWorkspace(workspace));
  }

  async retrieve(scope: SecretScope, name: string, report?: ReadReport): Promise<Secret> {
    const key = scopeKeyOf(scope);
    const snapshot = await this.#showing(key, scope, name, this.#indeterminate.unless(key, name, report));
    if (snapshot.isUnreadable(name)) return this.inner.retrieve(scope, name);
    const secret = await this.#texts.secret(key, snapshot, name);
    if (secret === 'gone') return this.inner.retrieve(scope, name);
    if (secret !== undefined) return secret;
    this.inner.requireName(name);
    throw new SecretNotFound(name);
  }

  async list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    const snapshot = await this.#reads.get(
      {
        scope: scopeKeyOf(scope),
        ttlMs: (kept) => (kept.isEmpty ? this.#absentTtlMs : this.#ttlMs),
        read: async (moment) => {
          const unreadable = new Set<string>();
          const secrets = await this.inner.list(scope, {
            servedStale: () => undefined,
            unreadable: (names) => names.forEach((name) => unreadable.add(name)),
          });
          this.#indeterminate.settle(scopeKeyOf(scope), moment.generationAtStart);
          return new Snapshot({ unreadable }, secrets, moment);
        },
      },
      this.#indeterminate.unless(scopeKeyOf(scope), undefined, report),
    );
    if (snapshot.isUnreadable() && report?.unreadable === undefined) return this.inner.list(scope);
    const secrets = await this.#texts.secrets(scopeKeyOf(scope), snapshot);
    if (secrets === 'gone') return this.inner.list(scope, report);
    if (snapshot.isUnreadable()) report?.unreadable?.([...snapshot.unreadable]);
    return secrets;
  }

  /** By what is kept, if that is all of the scope: a write that comes after it supersedes it anyway. */
  override async measure(scope: SecretScope): Promise<ScopeUsage> {
    const kept = this.#reads.fresh(scopeKeyOf(scope), this.#ttlMs);
    return kept?.isWhole === true ? usageOf(kept.sizes()) : this.inner.measure(scope);
  }

  override measureUser(user: string): Promise<Usage | undefined> {
    return this.inner.measureUser(user);
  }

  async workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.inner.workspacesOf(user);
  }

  /** Whoever can be served from memory is not sent away because the store is out of reach. */
  async ping(): Promise<void> {
    try {
      await this.inner.ping();
      this.#awayBecause = undefined;
      this.#reads.answered();
    } catch (error: unknown) {
      const isGone = isUnreachable(error);
      this.#awayBecause = isGone && error instanceof Error ? error.message : undefined;
      if (!isGone) this.#reads.invalidate();
      if (!isGone || !this.#reads.canServeAlone) throw error;
    }
  }

  /** Of the latest ping: readiness is good as long as the cache serves, and still says that the store is away. */
  problems(): readonly string[] {
    return this.#awayBecause === undefined ? [] : [`${this.#awayBecause} ${STORE_IS_AWAY}`];
  }

  async close(): Promise<void> {
    this.#reads.close();
    await this.inner.close();
  }

  override requireName(name: string): void {
    this.inner.requireName(name);
  }

  /** A read of the scope, or of this name by itself where that is how the store reads the scope. */
  async #showing(
    key: string,
    scope: SecretScope,
    name: string,
    report: ReadReport | undefined,
  ): Promise<Snapshot> {
    const look = async (alone: boolean): Promise<Snapshot> =>
      this.#reads.get(
        {
          scope: key,
          ...(alone ? { name } : { orOf: name }),
          ttlMs: (kept) => (kept.has(name) ? this.#ttlMs : this.#absentTtlMs),
          read: (moment, kept) => this.#readScope({ scope, name, moment }, kept),
        },
        report,
      );
    const seen = await look(this.#byName.has(key));
    // The look that was shared with others may have been for another name.
    return seen.tellsOf(name) ? seen : look(true);
  }

  async #readScope(look: ScopeLookup, kept: Snapshot | undefined): Promise<Snapshot> {
    const { scope, name, moment } = look;
    const answer = await this.inner.readScope(scope, name, kept?.revision);
    this.#indeterminate.settle(scopeKeyOf(scope), moment.generationAtStart);
    if (answer === 'unchanged')
      return kept?.confirm(moment) === true ? kept : this.#readScope(look, undefined);
    const { whole, secrets, ...extent } = answer;
    if (whole) this.#byName.delete(scopeKeyOf(scope));
    else this.#byName.set(scopeKeyOf(scope), true);
    return new Snapshot({ ...extent, ...(!whole && { only: name }) }, secrets, moment);
  }

  async #write(scope: string | undefined, write: () => Promise<void>, written?: Written): Promise<void> {
    try {
      await write();
    } catch (error: unknown) {
      if (leftAsItWas(error)) throw error;
      if (scope === undefined || written === undefined) this.#reads.invalidate(scope);
      else this.#failed(scope, written, error);
      await this.#publish(scope);
      throw error;
    }
    // Here first, then to the others; only then may the writer go on.
    if (scope === undefined || written === undefined) this.#reads.invalidate(scope);
    else this.#reads.carry(scope, written.name, written.value);
    await this.#publish(scope);
  }

  /** A write that failed: what is kept and agrees with the answer must be confirmed, what does not is not served any more. */
  #failed(scope: string, { name }: Written, error: unknown): void {
    const isShown = this.#reads.shows(scope, name);
    const agrees = isShown ? error instanceof SecretAlreadyExists : error instanceof SecretNotFound;
    if (agrees) this.#reads.indeterminate(scope);
    else if (error instanceof SecretAlreadyExists || error instanceof StoreOutcomeUnknown)
      this.#indeterminate.add(scope, name, this.#reads.indeterminate(scope));
    else this.#reads.invalidate(scope);
  }

  async #publish(scope: string | undefined): Promise<void> {
    await this.around.invalidationBus.publish(scope === undefined ? 'unknown' : { scope });
  }

  get #ttlMs(): number {
    const { ttlMs } = this.options;
    return this.around.invalidationBus.received ? ttlMs : Math.min(ttlMs, UNHEARD_TTL_MS);
  }

  get #absentTtlMs(): number {
    return Math.min(this.#ttlMs, ABSENT_TTL_MS);
  }
}
