import {
  isOwnToTheCall,
  isRefusedRead,
  mayServeStaleAfter,
  leftAsItWas,
  SecretAlreadyExists,
  SecretNotFound,
  StoreOutcomeUnknown,
} from '../../errors/store-errors';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeSource,
  sizeByRetrieving,
  SecretStoreDecorator,
  type CompleteSecretStore,
} from '../../secrets/secret-store';
import {
  type Precondition,
  scopeKeyOf,
  type Secret,
  type SecretScope,
  usageOf,
  type ScopeUsage,
  type CallContext,
} from '../../secrets/secret';
import type { CacheDeps, CacheOptions } from './cache-entries';
import { CachedReads } from './cached-reads';
import { SingleFlight } from '../../concurrency/keyed-work';
import { LargeTexts, type Snapshot } from './snapshot';

/** A secret after a write, in the scope of this key: without a value where it was deleted. */
interface Written {
  readonly scope: string;
  readonly name: string;
  readonly value?: string;
}

/** How often a read takes a snapshot that may be wiped before its text is made; it then asks the store alone. */
const MAX_ATTEMPTS = 3;
const SERVED_FROM_MEMORY = 'What was read lately is served from memory, all else is refused.';

/**
 * A decorator that caches reads for a short time. A read that begins after a write has ended sees that write; writes of other
 * replicas are seen as soon as the invalidation bus delivers them.
 */
export class CachedSecretStore extends SecretStoreDecorator {
  readonly #reads: CachedReads;
  readonly #texts: LargeTexts;
  readonly #unreadable = new SingleFlight<RetrievedSecret>();
  /** Why the last ping found the store unreachable. */
  #unreachableBecause: string | undefined;

  constructor(
    inner: CompleteSecretStore & ScopeSource,
    options: CacheOptions,
    private readonly deps: CacheDeps,
  ) {
    super(inner);
    this.#reads = new CachedReads(inner, options, deps);
    this.#texts = new LargeTexts(deps.time);
    deps.invalidationBus.listen((written) =>
      this.#reads.invalidate(written === 'unknown' ? undefined : written.scope),
    );
  }

  override create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    const written = { ...secret, scope: scopeKeyOf(scope) };
    return this.#write(() => this.inner.create(scope, secret, context), written);
  }

  override update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const written = { ...secret, scope: scopeKeyOf(scope) };
    return this.#write(() => this.inner.update(scope, secret, context, precondition), written);
  }

  override delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    const written = { name, scope: scopeKeyOf(scope) };
    return this.#write(() => this.inner.delete(scope, name, context, precondition), written);
  }

  override removeWorkspace(id: string, context: CallContext): Promise<void> {
    return this.#write(() => this.inner.removeWorkspace(id, context));
  }

  override async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const { snapshot, ...age } = await this.#reads.get(scope, name, context);
      const isUncached = snapshot.isWipeDue;
      if (snapshot.unreadable.has(name)) return this.#retrieveUnreadable(scope, name, snapshot, context);
      const secret = await this.#texts.secret(scopeKeyOf(scope), snapshot, name, context);
      // What was never cached would be wiped each time.
      if (secret === 'wiped' && isUncached) break;
      if (secret === 'wiped') continue;
      if (secret !== undefined) return { secret, ...age };
      this.inner.requireName(name);
      throw new SecretNotFound(name, age.staleForMs);
    }
    return this.inner.retrieve(scope, name, context);
  }

  override async list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const { snapshot, ...age } = await this.#reads.get(scope, undefined, context);
      const isUncached = snapshot.isWipeDue;
      const secrets = await this.#texts.secrets(scopeKeyOf(scope), snapshot, context);
      if (secrets === 'wiped' && isUncached) break;
      if (secrets === 'wiped') continue;
      const { unreadable } = snapshot;
      return { secrets, ...age, ...(unreadable.size > 0 && { unreadable: [...unreadable] }) };
    }
    return this.inner.list(scope, context);
  }

  /** Measures the cached entry, where there is one of the whole scope. */
  override async measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage> {
    const entry = this.#reads.fresh(scopeKeyOf(scope));
    return entry === undefined ? this.inner.measure(scope, context) : usageOf(entry.sizes());
  }

  override sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    return sizeByRetrieving(this, scope, name, context);
  }

  /** Resolves also while the store is unreachable and the cache can serve reads. */
  override async ping(): Promise<void> {
    try {
      await this.inner.ping();
      this.#unreachableBecause = undefined;
      this.#reads.answered();
    } catch (error: unknown) {
      const isAway = mayServeStaleAfter(error);
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

  override async close(): Promise<void> {
    this.#reads.close();
    await this.inner.close();
  }

  /** Has the store itself say why a value cannot be read, once for all callers, as long as the snapshot is fresh. */
  async #retrieveUnreadable(
    scope: SecretScope,
    name: string,
    { refusals, time }: Snapshot,
    { deadline, signal: ownSignal }: CallContext,
  ): Promise<RetrievedSecret> {
    if (refusals.has(name)) throw refusals.get(name);
    try {
      return await this.#unreadable.run(
        [time.generationAtStart, scopeKeyOf(scope), name].join(' '),
        (signal) => this.inner.retrieve(scope, name, { deadline, signal }),
        { signal: ownSignal, isOwn: isOwnToTheCall },
      );
    } catch (error: unknown) {
      if (isRefusedRead(error)) refusals.set(name, error);
      throw error;
    }
  }

  /** @param written undefined for a write to an unknown scope */
  async #write(write: () => Promise<void>, written?: Written): Promise<void> {
    const publish = () =>
      this.deps.invalidationBus.publish(written === undefined ? 'unknown' : { scope: written.scope });
    try {
      await write();
    } catch (error: unknown) {
      // A removal may be sent more than once: how the last attempt failed does not tell what became of the others.
      if (written !== undefined && leftAsItWas(error)) throw error;
      if (written === undefined) this.#reads.invalidate();
      else this.#invalidateAfterFailure(written, error);
      await publish();
      throw error;
    }
    // The write resolves only after this replica and then the others have been told.
    if (written === undefined) this.#reads.invalidate();
    else this.#reads.applyWrite(written.scope, written.name, written.value);
    await publish();
  }

  /** Entries that agree with the failure of a write must be confirmed, all others are invalidated. */
  #invalidateAfterFailure({ scope, name }: Written, error: unknown): void {
    const agrees = this.#reads.contains(scope, name)
      ? error instanceof SecretAlreadyExists
      : error instanceof SecretNotFound;
    if (agrees) this.#reads.requireConfirmation(scope);
    else if (error instanceof SecretAlreadyExists || error instanceof StoreOutcomeUnknown)
      this.#reads.markNameIndeterminate(scope, name);
    else this.#reads.invalidate(scope);
  }
}
