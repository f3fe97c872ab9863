import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../../concurrency/keyed-work';
import { isOwnToTheCall, isRefusedRead, ListTooLarge, mayServeStaleAfter } from '../../errors/store-errors';
import type { ListedSecrets, ScopeContents, ScopeSource, SecretStore } from '../../secrets/secret-store';
import { scopeKeyOf, type SecretScope, type CallContext } from '../../secrets/secret';
import type { CacheDeps, CacheOptions } from './cache-entries';
import { CacheEntries, IndeterminateNames, ScopeGenerations, usableForMs } from './cache-entries';
import { Snapshot, type SnapshotTime } from './snapshot';

/** How long a read waits for the store where an entry may be served stale. */
const MAX_WAIT_MS = 500;
/** The maximum time to live while the writes of other replicas are not received. */
const DISCONNECTED_TTL_MS = 1_000;
/** The maximum time to live of a missing secret, for which an app may wait. */
const ABSENT_TTL_MS = 1_000;
const MAX_SCOPES_BY_NAME = 10_000;

/** The entry that answers a read. */
interface CachedRead {
  readonly snapshot: Snapshot;
  /** Its age, where the store was unreachable. */
  readonly staleForMs?: number;
}

/** Caches reads: entries are read again after their time to live, invalidated by writes, and served stale for a while in an outage. */
export class CachedReads {
  readonly #generations = new ScopeGenerations();
  readonly #flights = new SingleFlight<Snapshot>();
  readonly #indeterminate = new IndeterminateNames();
  readonly #entries: CacheEntries;
  /** Scopes of which the store read a single name when it was last called. */
  readonly #readByName = new LRUCache<string, true>({ max: MAX_SCOPES_BY_NAME });
  #lastAnswerMs = -Infinity;

  constructor(
    private readonly store: SecretStore & ScopeSource,
    private readonly options: CacheOptions,
    private readonly deps: CacheDeps,
  ) {
    const evicted = () => deps.observer?.evicted();
    this.#entries = new CacheEntries(options, deps.time, this.#generations, evicted);
    deps.observer?.opened(() => ({ entries: this.#entries.size, bytes: this.#entries.bytes }));
  }

  /** Returns the entry of a whole scope, if it may be served without a call to the store. */
  fresh(scope: string): Snapshot | undefined {
    const entry = this.#entries.get(scope);
    return entry !== undefined && this.#isFresh(entry) ? entry : undefined;
  }

  /**
   * Returns a fresh entry that covers this name, or the whole scope where no name is given; it reads from the store where there is none,
   * and returns a stale one where the store cannot be asked: docs/cache.md. @throws DomainError
   */
  async get(scope: SecretScope, name: string | undefined, context: CallContext): Promise<CachedRead> {
    const key = scopeKeyOf(scope);
    for (let isRepeated = false; ; isRepeated = true) {
      const cached = this.#entries.get(key, name);
      if (cached !== undefined && this.#isFresh(cached, name)) {
        this.deps.observer?.read('hit');
        return { snapshot: cached };
      }
      const isAlone = isRepeated || (name !== undefined && this.#readByName.has(key));
      let hasBegun = false;
      // A read that began before the last write is not shared.
      const reading = this.#flights.run(
        [this.#generations.lastOf(key), key, isAlone, isAlone ? name : ''].join(' '),
        async (signal) => {
          hasBegun = true;
          const flight = { deadline: context.deadline, signal };
          try {
            for (let known = cached; ; known = undefined) {
              const time = { generationAtStart: this.#generations.now, atMs: this.deps.time.nowMs() };
              const contents =
                name === undefined
                  ? contentsOf(await this.store.list(scope, flight))
                  : await this.store.readScope(scope, name, known?.revision, flight);
              const snapshot = this.#snapshotOf(key, name, contents, time, known);
              if (snapshot !== undefined) return snapshot;
            }
          } catch (error: unknown) {
            // A failed read leaves the entries as they are, unless the store itself refused it; one that is too large refutes none.
            if (isRefusedRead(error) && !(error instanceof ListTooLarge)) this.invalidate(key);
            throw error;
          }
        },
        { signal: context.signal, isOwn: isOwnToTheCall },
      );
      try {
        const inTime = await (this.#mayServeStale(cached) ? this.#inTime(reading) : reading);
        const stale = inTime === undefined ? this.#stale(key, name) : undefined;
        if (stale !== undefined) return stale;
        const read = inTime ?? (await reading);
        this.deps.observer?.read('miss');
        // A read that was shared with other calls may have been of another name.
        if (name === undefined ? read.isWhole : read.covers(name)) return { snapshot: read };
      } catch (error: unknown) {
        // What was too large for those whose read this joined may be read for this name alone.
        if (name === undefined || isAlone || hasBegun || !(error instanceof ListTooLarge)) throw error;
      }
    }
  }

  /** Invalidates the entries of a scope after a write to it; all entries where it is unknown which scope was written to. */
  invalidate(scope?: string): void {
    if (scope === undefined) {
      this.#generations.raiseAll();
      this.#entries.clear();
      return;
    }
    this.#generations.raise(scope);
    this.#entries.delete(scope);
  }

  /**
   * Applies a successful write of ours to the entry of its scope, and to that of its name where names have their own. The entries
   * are confirmed by the store before they are served, unless the store is unreachable. `value` is undefined where the name was deleted.
   */
  applyWrite(scope: string, name: string, value: string | undefined): void {
    const whole = this.#entries.get(scope);
    const generationAtStart = this.requireConfirmation(scope);
    if (whole !== undefined) this.#entries.set(scope, whole.withWrite(name, value));
    if (whole !== undefined && !this.#entries.hasNames(scope)) return;
    const secrets = value === undefined ? [] : [{ name, value }];
    const time = { generationAtStart, atMs: this.deps.time.nowMs() };
    const written = new Snapshot({ only: name, unreadable: new Set() }, secrets, time);
    written.requireConfirmation(generationAtStart);
    this.#entries.set(scope, written);
  }

  /**
   * Notes that a write to this scope may have happened: its entries must be confirmed, and are served unconfirmed only while the store
   * is unreachable. Returns the generation since which reads show how the write ended.
   */
  requireConfirmation(scope: string): number {
    const entries = [this.#entries.get(scope), ...this.#entries.namesOf(scope)];
    this.#generations.raise(scope);
    for (const entry of entries) entry?.requireConfirmation(this.#generations.now);
    return this.#generations.now;
  }

  /** Notes that the last write to this name may have happened: only the store itself answers for it. */
  markNameIndeterminate(scope: string, name: string): void {
    this.requireConfirmation(scope);
    this.#indeterminate.add(scope, name);
  }

  contains(scope: string, name: string): boolean {
    return this.#entries.get(scope, name)?.has(name) === true;
  }

  /** The store has just answered. */
  answered(): void {
    this.#lastAnswerMs = this.deps.time.nowMs();
  }

  /** Whether reads can be answered from the cache although the store is unreachable for a moment. */
  get canServeAlone(): boolean {
    return this.#entries.size > 0 && this.deps.time.nowMs() - this.#lastAnswerMs <= usableForMs(this.options);
  }

  close(): void {
    this.#entries.close();
  }

  /** Returns a stale entry; undefined if none may be served, as where a write may have changed the secret. */
  #stale(key: string, name: string | undefined): CachedRead | undefined {
    const snapshot = this.#entries.get(key, name);
    if (!this.#mayServeStale(snapshot) || this.#indeterminate.has(key, name)) return undefined;
    this.deps.observer?.read('stale');
    return { snapshot, staleForMs: this.#ageMs(snapshot) };
  }

  /** Caches what was read, unless a write has ended meanwhile. Returns undefined where an unchanged entry has left the cache. */
  #snapshotOf(
    key: string,
    name: string | undefined,
    contents: ScopeContents | 'unchanged',
    time: SnapshotTime,
    known: Snapshot | undefined,
  ): Snapshot | undefined {
    const snapshot = contents === 'unchanged' ? known : snapshotOf(contents, name, time);
    if (snapshot === undefined || snapshot.isWipeDue) return undefined;
    this.answered();
    if (!snapshot.isWhole) this.#readByName.set(key, true);
    else if (name !== undefined) this.#readByName.delete(key);
    if (this.#generations.hasInvalidatedSince(key, time.generationAtStart)) {
      // It settles and confirms nothing: an entry may include the write, which the read need not.
      if (snapshot !== known) snapshot.wipeSoon();
      return snapshot;
    }
    snapshot.confirm(time);
    this.#settle(key, snapshot);
    this.#entries.set(key, snapshot);
    return snapshot;
  }

  /** Notes that the outcome of writes is known by this read; where it was of one name, the entry of the whole scope includes it. */
  #settle(key: string, snapshot: Snapshot): void {
    const { only, unreadable } = snapshot;
    if (only !== undefined && unreadable.has(only)) return;
    const whole = this.#indeterminate.settle(key, only) ? this.#entries.get(key) : undefined;
    if (whole !== undefined && only !== undefined)
      this.#entries.set(key, whole.withWrite(only, snapshot.secret(only)?.value));
  }

  /** An entry without the name, and an empty one, lives for a shorter time; names that cannot be read are there. */
  #isFresh(entry: Snapshot, name?: string): boolean {
    const { ttlMs: usualMs } = this.options;
    const ttlMs = this.deps.invalidationBus.received ? usualMs : Math.min(usualMs, DISCONNECTED_TTL_MS);
    const isAbsent = name === undefined ? entry.isEmpty : !entry.has(name);
    return (
      !entry.needsConfirmation && this.#ageMs(entry) <= (isAbsent ? Math.min(ttlMs, ABSENT_TTL_MS) : ttlMs)
    );
  }

  #mayServeStale(entry: Snapshot | undefined): entry is Snapshot {
    return entry !== undefined && this.#ageMs(entry) <= this.options.maxStaleMs;
  }

  /** Returns undefined where the store is unreachable or slow. The read goes on for the next caller. */
  #inTime(reading: Promise<Snapshot>): Promise<Snapshot | undefined> {
    const read = reading.catch((error: unknown) => {
      if (mayServeStaleAfter(error)) return undefined;
      throw error;
    });
    return this.deps.time.within(MAX_WAIT_MS, read, () => undefined);
  }

  #ageMs({ time }: Snapshot): number {
    return this.deps.time.nowMs() - time.atMs;
  }
}

function snapshotOf(
  { whole, secrets, ...extent }: ScopeContents,
  name: string | undefined,
  time: SnapshotTime,
): Snapshot {
  return new Snapshot({ ...extent, ...(!whole && name !== undefined && { only: name }) }, secrets, time);
}

function contentsOf({ secrets, unreadable = [] }: ListedSecrets): ScopeContents {
  return { whole: true, secrets, unreadable: new Set(unreadable) };
}
