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
import type { InvalidationBus } from './invalidation-bus';
import { LargeTexts } from './large-texts';
import { Snapshot, type SnapshotTime } from './snapshot';

export interface CacheOptions extends CachedReadsOptions {
  /** How long an entry is served without a call to the store. */
  readonly ttlMs: number;
}

export interface CachedSecretStoreDeps {
  readonly time: MonotonicTime;
  readonly invalidationBus: InvalidationBus;
  readonly observer?: CacheObserver | undefined;
}

/** A secret after a write: without a value where it was deleted. */
interface Written {
  readonly name: string;
  readonly value?: string;
}

/** The maximum time to live while the writes of other replicas are not received. */
const DISCONNECTED_TTL_MS = 1_000;
/** The maximum time to live of a missing secret: an app that asks for it often waits for it. */
const ABSENT_TTL_MS = 1_000;
const MAX_SCOPES_BY_NAME = 10_000;
const SERVED_FROM_MEMORY = 'What was read lately is served from memory, all else is refused with 503.';

/**
 * A decorator that caches reads for a short time. A read that begins after a write has ended sees that write; writes of other
 * replicas are seen as soon as the invalidation bus delivers them.
 */
export class CachedSecretStore extends SecretStore {
  readonly #reads: CachedReads;
  readonly #indeterminate = new IndeterminateNames();
  readonly #texts: LargeTexts;
  /** Scopes of which the store read a single name when it was last called. */
  readonly #readByName = new LRUCache<string, true>({ max: MAX_SCOPES_BY_NAME });
  /** Why the last ping found the store unreachable. */
  #unreachableBecause: string | undefined;

  constructor(
    private readonly inner: SecretStore,
    private readonly options: CacheOptions,
    private readonly deps: CachedSecretStoreDeps,
  ) {
    super();
    this.#reads = new CachedReads(options, deps.time, deps.observer);
    this.#texts = new LargeTexts(deps.time);
    deps.invalidationBus.listen((written) =>
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
    const refusing = this.#indeterminate.refusingStale(key, name, report);
    const snapshot = await this.#snapshotCovering(name, scope, refusing);
    if (snapshot.isUnreadable(name)) return this.inner.retrieve(scope, name);
    const secret = await this.#texts.secret(key, snapshot, name);
    if (secret === 'wiped') return this.inner.retrieve(scope, name);
    if (secret !== undefined) return secret;
    this.inner.requireName(name);
    throw new SecretNotFound(name);
  }

  async list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    const key = scopeKeyOf(scope);
    const snapshot = await this.#reads.get(
      {
        scope: key,
        ttlMs: (entry) => (entry.isEmpty ? this.#absentTtlMs : this.#ttlMs),
        read: async (time) => {
          const unreadable = new Set<string>();
          const secrets = await this.inner.list(scope, {
            servedStale: () => undefined,
            unreadable: (names) => names.forEach((name) => unreadable.add(name)),
          });
          this.#indeterminate.settle(key, time.generationAtStart);
          return new Snapshot({ unreadable }, secrets, time);
        },
      },
      this.#indeterminate.refusingStale(key, undefined, report),
    );
    if (snapshot.isUnreadable() && report?.unreadable === undefined) return this.inner.list(scope);
    const secrets = await this.#texts.secrets(key, snapshot);
    if (secrets === 'wiped') return this.inner.list(scope, report);
    if (snapshot.isUnreadable()) report?.unreadable?.([...snapshot.unreadable]);
    return secrets;
  }

  /** Measures the cached entry, where it is of the whole scope. */
  override async measure(scope: SecretScope): Promise<ScopeUsage> {
    const entry = this.#reads.fresh(scopeKeyOf(scope), this.#ttlMs);
    return entry?.isWhole === true ? usageOf(entry.sizes()) : this.inner.measure(scope);
  }

  override measureUser(user: string): Promise<Usage | undefined> {
    return this.inner.measureUser(user);
  }

  async workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.inner.workspacesOf(user);
  }

  /** Resolves also while the store is unreachable and the cache can serve reads. */
  async ping(): Promise<void> {
    try {
      await this.inner.ping();
      this.#unreachableBecause = undefined;
      this.#reads.answered();
    } catch (error: unknown) {
      const isAway = isUnreachable(error);
      this.#unreachableBecause = isAway && error instanceof Error ? error.message : undefined;
      if (!isAway) this.#reads.invalidate();
      if (!isAway || !this.#reads.canServeAlone) throw error;
    }
  }

  /** Returns a sentence where the last ping found the store unreachable, which readiness shows although it is ready. */
  problems(): readonly string[] {
    return this.#unreachableBecause === undefined
      ? []
      : [`${this.#unreachableBecause} ${SERVED_FROM_MEMORY}`];
  }

  async close(): Promise<void> {
    this.#reads.close();
    await this.inner.close();
  }

  override requireName(name: string): void {
    this.inner.requireName(name);
  }

  /** Returns a snapshot of the scope, or of this name where the store reads the scope by name. */
  async #snapshotCovering(name: string, scope: SecretScope, report: ReadReport): Promise<Snapshot> {
    const key = scopeKeyOf(scope);
    const read = (byName: boolean): Promise<Snapshot> =>
      this.#reads.get(
        {
          scope: key,
          ...(byName ? { name } : { fallbackName: name }),
          ttlMs: (entry) => (entry.has(name) ? this.#ttlMs : this.#absentTtlMs),
          read: (time, cached) => this.#readFromStore(scope, name, time, cached),
        },
        report,
      );
    const snapshot = await read(this.#readByName.has(key));
    // A read that was shared with other calls may have been of another name.
    return snapshot.covers(name) ? snapshot : read(true);
  }

  async #readFromStore(
    scope: SecretScope,
    name: string,
    time: SnapshotTime,
    cached?: Snapshot,
  ): Promise<Snapshot> {
    const key = scopeKeyOf(scope);
    const answer = await this.inner.readScope(scope, name, cached?.revision);
    this.#indeterminate.settle(key, time.generationAtStart);
    if (answer === 'unchanged')
      return cached?.confirm(time) === true ? cached : this.#readFromStore(scope, name, time);
    const { whole, secrets, ...extent } = answer;
    if (whole) this.#readByName.delete(key);
    else this.#readByName.set(key, true);
    return new Snapshot({ ...extent, ...(!whole && { only: name }) }, secrets, time);
  }

  async #write(scope: string | undefined, write: () => Promise<void>, written?: Written): Promise<void> {
    try {
      await write();
    } catch (error: unknown) {
      if (leftAsItWas(error)) throw error;
      if (scope === undefined || written === undefined) this.#reads.invalidate(scope);
      else this.#invalidateAfterFailure(scope, written, error);
      await this.#publish(scope);
      throw error;
    }
    // The write resolves only after this replica and then the others have been told.
    if (scope === undefined || written === undefined) this.#reads.invalidate(scope);
    else this.#reads.applyWrite(scope, written.name, written.value);
    await this.#publish(scope);
  }

  /** Entries that agree with the failure of a write must be confirmed, all others are invalidated. */
  #invalidateAfterFailure(scope: string, { name }: Written, error: unknown): void {
    const agrees = this.#reads.contains(scope, name)
      ? error instanceof SecretAlreadyExists
      : error instanceof SecretNotFound;
    if (agrees) this.#reads.markIndeterminate(scope);
    else if (error instanceof SecretAlreadyExists || error instanceof StoreOutcomeUnknown)
      this.#indeterminate.add(scope, name, this.#reads.markIndeterminate(scope));
    else this.#reads.invalidate(scope);
  }

  async #publish(scope: string | undefined): Promise<void> {
    await this.deps.invalidationBus.publish(scope === undefined ? 'unknown' : { scope });
  }

  get #ttlMs(): number {
    const { ttlMs } = this.options;
    return this.deps.invalidationBus.received ? ttlMs : Math.min(ttlMs, DISCONNECTED_TTL_MS);
  }

  get #absentTtlMs(): number {
    return Math.min(this.#ttlMs, ABSENT_TTL_MS);
  }
}
