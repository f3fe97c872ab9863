import { CachedSecretStore } from '../../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../../src/stores/cached/invalidation-bus';
import { InvalidRequest } from '../../../src/errors/request-errors';
import { StoreUnreachable } from '../../../src/errors/store-errors';
import { resilientStore } from '../../../src/stores/resilience/concurrency-limit.secret-store';
import { type SecretScope, UNATTENDED } from '../../../src/secrets/secret';
import type { ScopeContents, ScopeSource, CompleteSecretStore } from '../../../src/secrets/secret-store';
import { StoreClient } from '../../support/store-client';
import { describeSecretStore, outcome } from '../../conformance/secret-store.conformance';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { MemorySecretStore } from '../../support/memory.secret-store';

const SCOPE = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;
const time = new FixedMonotonicTime();
type WholeStore = CompleteSecretStore & ScopeSource;
const resilient = (store: WholeStore): WholeStore =>
  resilientStore(store, 20_000, { time, log: () => undefined });

const CACHE = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 100, maxBytes: 8 * 1024 * 1024 };
const cached = (store: WholeStore): CompleteSecretStore =>
  new CachedSecretStore(store, CACHE, { time, invalidationBus: new NoInvalidationBus() });

describeSecretStore('the cache before breaker and queue', {
  open: async () => {
    const store = cached(resilient(new MemorySecretStore()));
    return { store, dispose: () => store.close() };
  },
});

/** Reads name by name, and has names that it cannot hold. */
class NamedStore extends MemorySecretStore {
  override async readScope(_scope: SecretScope, name: string): Promise<ScopeContents> {
    return { whole: false, secrets: [{ name, value: 'looked up' }], unreadable: new Set(['odd']) };
  }

  override requireName(name: string): void {
    if (name === 'refused') throw new InvalidRequest('name', 'is refused');
  }
}

describe('a store behind queue and breaker', () => {
  it('forwards reads of a scope and the rules for names to the store', async () => {
    const store = resilient(new NamedStore());
    expect(await store.readScope(SCOPE, 'k', undefined, UNATTENDED)).toEqual({
      whole: false,
      secrets: [{ name: 'k', value: 'looked up' }],
      unreadable: new Set(['odd']),
    });
    expect(() => store.requireName('refused')).toThrow(InvalidRequest);
    expect(() => store.requireName('k')).not.toThrow();
  });
});

describe('a call that waits in the queue', () => {
  it.each([4_000, 20_000, 60_000])(
    'waits for three quarters of the time of an operation: %d ms',
    async (timeoutMs) => {
      const inner = new MemorySecretStore();
      let open = (): void => undefined;
      inner.gate = new Promise((resolve) => (open = resolve));
      const store = new StoreClient(resilientStore(inner, timeoutMs, { time, log: () => undefined }));
      const underWay = Array.from({ length: 4 }, () => outcome(store.list(SCOPE)));
      let ended: string | undefined;
      const waits = outcome(store.list(SCOPE)).then((how) => (ended = how));
      time.advance(timeoutMs * 0.75 - 1);
      await new Promise(setImmediate);
      expect(ended).toBeUndefined();
      time.advance(1);
      expect(await waits).toBe('TOO_MANY_REQUESTS');
      open();
      await Promise.all(underWay);
    },
  );
});

describe('an unreachable store', () => {
  it('gets no calls: cached reads are served, writes fail at once, and it is found when it is back', async () => {
    const inner = new MemorySecretStore();
    const store = new StoreClient(cached(resilient(inner)));
    await store.create(SCOPE, { name: 'k', value: 'v' });
    expect(await store.retrieve(SCOPE, 'k')).toEqual({ name: 'k', value: 'v' });
    inner.failure = new StoreUnreachable();
    time.advance(6_000);
    for (let i = 0; i < 10; i += 1) expect((await store.retrieve(SCOPE, 'k')).value).toBe('v');
    const asked = inner.calls.length;
    for (let i = 0; i < 10; i += 1) {
      expect(await outcome(store.update(SCOPE, { name: 'k', value: 'w' }))).toBe('STORE_UNAVAILABLE');
      expect((await store.retrieve(SCOPE, 'k')).value).toBe('v');
    }
    expect(inner.calls).toHaveLength(asked);
    await expect(store.ping()).resolves.toBeUndefined();
    inner.failure = undefined;
    time.advance(2_000);
    expect(await outcome(store.update(SCOPE, { name: 'k', value: 'w' }))).toBe('done');
    expect((await store.retrieve(SCOPE, 'k')).value).toBe('w');
    await store.close();
  });
});
