import { deadlineIn } from '../../../src/time/clock';
import { StoreClient } from '../../support/store-client';
import type { ReadOutcome, CacheOptions } from '../../../src/stores/cached/cache-entries';
import { CachedSecretStore } from '../../../src/stores/cached/cached.secret-store';
import {
  NoInvalidationBus,
  InvalidationBus,
  type WrittenScope,
} from '../../../src/stores/cached/invalidation-bus';
import { InvalidRequest, TooManyRequests } from '../../../src/errors/request-errors';
import {
  ListTooLarge,
  ScopeBusy,
  SecretAlreadyExists,
  SecretNotFound,
  StoreOutcomeUnknown,
  StoreOutOfTime,
  StoreUnavailable,
  StoreUnreachable,
} from '../../../src/errors/store-errors';
import { type SecretScope, scopeKeyOf, UNATTENDED } from '../../../src/secrets/secret';
import type { ScopeContents } from '../../../src/secrets/secret-store';
import { describeSecretStore, outcome } from '../../conformance/secret-store.conformance';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { MemorySecretStore } from '../../support/memory.secret-store';

const OPTIONS: CacheOptions = {
  ttlMs: 5_000,
  maxStaleMs: 60_000,
  maxEntries: 100,
  maxBytes: 8 * 1024 * 1024,
};
const SCOPE: SecretScope = { user: 'alice', workspace: 'notes', environment: 'prod' };
const ELSEWHERE: SecretScope = { ...SCOPE, environment: 'dev' };

describeSecretStore('the cache', {
  open: async () => {
    const store = new CachedSecretStore(new MemorySecretStore(), OPTIONS, {
      time: new FixedMonotonicTime(),
      invalidationBus: new NoInvalidationBus(),
    });
    return { store, dispose: () => store.close() };
  },
});

/** Announcements of a replica beside us, given by the test. */
class OtherReplica extends InvalidationBus {
  received = true;
  readonly announced: WrittenScope[] = [];
  tell: (written: WrittenScope) => void = () => undefined;

  async publish(written: WrittenScope): Promise<void> {
    this.announced.push(written);
  }

  listen(written: (scope: WrittenScope) => void): void {
    this.tell = written;
  }
}

function opened(options: Partial<CacheOptions> = {}) {
  const inner = new MemorySecretStore();
  const time = new FixedMonotonicTime();
  const invalidationBus = new OtherReplica();
  const outcomes: ReadOutcome[] = [];
  const figures = { now: () => ({ entries: 0, bytes: 0 }), evicted: 0 };
  const observer = {
    opened: (now: typeof figures.now) => (figures.now = now),
    read: (how: ReadOutcome) => void outcomes.push(how),
    evicted: () => (figures.evicted += 1),
  };
  const deps = { time, invalidationBus, observer };
  const cache = new CachedSecretStore(inner, { ...OPTIONS, ...options }, deps);
  const stale: number[] = [];
  return {
    inner, time, invalidationBus, outcomes, figures, cache, store: new StoreClient(cache), stale,
    reads: () => inner.calls.filter((call) => /^(list|retrieve)/.test(call)).length,
    get: async (name = 'k', scope = SCOPE) => {
      const { secret, staleForMs } = await cache.retrieve(scope, name, UNATTENDED);
      if (staleForMs !== undefined) stale.push(staleForMs);
      return secret.value;
    },
  }; // prettier-ignore
}

async function warmed(options: Partial<CacheOptions> = {}) {
  const house = opened(options);
  await house.inner.create(SCOPE, { name: 'k', value: 'first' });
  await house.get();
  house.inner.calls.length = 0;
  return house;
}

/** Something that the test lets happen. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const waiting = new Promise<void>((resolve) => (open = resolve));
  return { opened: waiting, open: () => open() };
}

const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a read that joined another', () => {
  const joined = (failure: Error) => {
    const { inner, cache, time } = opened();
    const asked = gate();
    const get = async () => {
      const deadline = deadlineIn(20_000, time);
      return (await cache.retrieve(SCOPE, 'k', { deadline, signal: UNATTENDED.signal })).secret.value;
    };
    const leftMs: number[] = [];
    inner.readScope = async (_scope, _name, _ifRevision, { deadline } = UNATTENDED) => {
      leftMs.push(deadline.endsAtMs - time.nowMs());
      if (leftMs.length > 1)
        return { whole: true, secrets: [{ name: 'k', value: 'v' }], unreadable: new Set() };
      await asked.opened;
      throw failure;
    };
    const first = outcome(get());
    time.advance(19_200);
    const later = [get(), get(), get()].map((read) => read.catch(({ reason }: { reason: string }) => reason));
    time.advance(800);
    asked.open();
    return { leftMs, all: () => Promise.all([first, ...later]) };
  };

  it.each([
    ['turn', new TooManyRequests(7), 'TOO_MANY_REQUESTS'],
    ['time', new StoreOutOfTime(), 'STORE_UNAVAILABLE'],
  ])(
    'goes on by itself where the other had no %s left, with what it has itself',
    async (_, failure, first) => {
      const { leftMs, all } = joined(failure);
      expect(await all()).toEqual([first, 'v', 'v', 'v']);
      expect(leftMs).toEqual([20_000, 19_200]);
    },
  );

  it('fails with it where the store did not answer', async () => {
    const { leftMs, all } = joined(new StoreUnreachable());
    expect(await all()).toEqual(Array(4).fill('STORE_UNAVAILABLE'));
    expect(leftMs).toEqual([20_000]);
  });
});

describe('a read within the time to live', () => {
  it('asks the store once for all names of the scope, whether they are there or not', async () => {
    const { inner, get, store, reads } = opened();
    await inner.create(SCOPE, { name: 'a', value: '1' });
    await inner.create(SCOPE, { name: 'b', value: '2' });
    expect([await get('a'), await get('b'), await outcome(store.retrieve(SCOPE, 'c'))]).toEqual([
      '1',
      '2',
      'SECRET_NOT_FOUND',
    ]);
    expect(await store.list(SCOPE)).toEqual([
      { name: 'a', value: '1' },
      { name: 'b', value: '2' },
    ]);
    expect(reads()).toBe(1);
  });

  it('asks once for a hundred that come together', async () => {
    const { inner, get, reads } = opened();
    await inner.create(SCOPE, { name: 'k', value: 'v' });
    await Promise.all(Array.from({ length: 100 }, () => get()));
    expect(reads()).toBe(1);
  });

  it.each([
    ['lists', (store: StoreClient) => store.list(SCOPE)],
    ['values', (store: StoreClient) => store.retrieve(SCOPE, 'a')],
  ])(
    'gives one of many %s that are large after the other, so that not all of their texts are made at once',
    async (_, read) => {
      const { inner, store } = opened();
      for (const name of ['a', 'b']) await inner.create(SCOPE, { name, value: 'x'.repeat(400_000) });
      let turn = 0;
      let isCounting = true;
      const count = (): void => {
        turn += 1;
        if (isCounting) setImmediate(count);
      };
      await store.list(SCOPE);
      setImmediate(count);
      const turns = await Promise.all(Array.from({ length: 5 }, async () => (await read(store)) && turn));
      isCounting = false;
      expect(new Set(turns).size).toBe(5);
    },
  );

  it.each([
    ['lists', (store: StoreClient) => store.list(SCOPE)],
    ['values', (store: StoreClient) => store.retrieve(SCOPE, 'n1')],
  ])('asks once more for many large %s that wait while a write ends', async (_, read) => {
    const { inner, store, reads } = opened();
    for (let n = 0; n < 10; n += 1)
      for (const scope of [SCOPE, ELSEWHERE])
        await inner.create(scope, { name: `n${n}`, value: 'x'.repeat(100_000) });
    await Promise.all([store.list(SCOPE), store.list(ELSEWHERE)]);
    const before = reads();
    const elsewhere = store.list(ELSEWHERE);
    const reading = Promise.all(Array.from({ length: 50 }, () => read(store)));
    await settled();
    await store.update(SCOPE, { name: 'n0', value: 'new' });
    await Promise.all([elsewhere, reading]);
    expect(reads() - before).toBe(1);
  });

  it('answers with a scope that is too large to be cached, and reads it at most twice', async () => {
    const { inner, store, reads } = opened({ maxBytes: 1024 * 1024 });
    for (const name of ['a', 'b']) await inner.create(SCOPE, { name, value: 'x'.repeat(400_000) });
    const lists = await Promise.all(Array.from({ length: 5 }, () => store.list(SCOPE)));
    expect(lists.map((list) => list.length)).toEqual([2, 2, 2, 2, 2]);
    const values = await Promise.all(Array.from({ length: 5 }, () => store.retrieve(SCOPE, 'a')));
    expect(values.map(({ value }) => value.length)).toEqual(Array(5).fill(400_000));
    const before = reads();
    await store.retrieve(SCOPE, 'a');
    expect(reads() - before).toBeLessThanOrEqual(2);
  });

  it('names unreadable secrets once, also when a list is too large to be cached', async () => {
    const { inner, cache } = opened({ maxBytes: 1024 * 1024 });
    for (const name of ['a', 'b']) await inner.create(SCOPE, { name, value: 'x'.repeat(400_000) });
    const list = inner.list.bind(inner);
    inner.list = async (scope) => ({ ...(await list(scope)), unreadable: ['damaged'] });
    const lists = await Promise.all(Array.from({ length: 5 }, () => cache.list(SCOPE, UNATTENDED)));
    const named = lists.map(({ unreadable }) => unreadable);
    expect(named).toEqual(Array(5).fill(['damaged']));
  });

  it('asks again once it is over', async () => {
    const { inner, time, get, reads } = await warmed();
    await inner.update(SCOPE, { name: 'k', value: 'second' });
    time.advance(5_000);
    expect([await get(), reads()]).toEqual(['first', 0]);
    time.advance(1);
    expect([await get(), reads()]).toEqual(['second', 1]);
  });

  it('is counted from when the read began, not from its answer', async () => {
    const { inner, time, get } = opened();
    await inner.create(SCOPE, { name: 'k', value: 'first' });
    const slow = gate();
    inner.gate = slow.opened;
    const reading = get();
    time.advance(4_000);
    slow.open();
    await reading;
    inner.gate = Promise.resolve();
    await inner.update(SCOPE, { name: 'k', value: 'second' });
    time.advance(1_001);
    expect(await get()).toBe('second');
  });

  it('asks again for what is not there after a second', async () => {
    const { inner, time, get, store } = await warmed();
    expect(await outcome(store.retrieve(SCOPE, 'later'))).toBe('SECRET_NOT_FOUND');
    await inner.create(SCOPE, { name: 'later', value: 'v' });
    time.advance(1_001);
    expect(await get('later')).toBe('v');
  });

  it('keeps scopes apart', async () => {
    const { inner, get } = await warmed();
    await inner.create(ELSEWHERE, { name: 'k', value: 'elsewhere' });
    expect([await get('k', ELSEWHERE), await get()]).toEqual(['elsewhere', 'first']);
  });
});

describe('a write', () => {
  it('is seen by the next read, of all kinds', async () => {
    const { store, get } = await warmed();
    await store.update(SCOPE, { name: 'k', value: 'second' });
    expect(await get()).toBe('second');
    await store.delete(SCOPE, 'k');
    expect(await outcome(store.retrieve(SCOPE, 'k'))).toBe('SECRET_NOT_FOUND');
    await store.create(SCOPE, { name: 'k', value: 'third' });
    expect(await get()).toBe('third');
  });

  it('leaves other scopes warm', async () => {
    const { store, get, reads } = await warmed();
    await store.create(ELSEWHERE, { name: 'k', value: 'v' });
    await get();
    expect(reads()).toBe(0);
  });

  it('is not undone by an older read that is slow: whoever comes after the write does not join it, and it fills nothing', async () => {
    const { inner, store, get, reads } = opened();
    await inner.create(SCOPE, { name: 'k', value: 'old' });
    const slow = gate();
    // This read has its answer already, and is slow to bring it.
    const readScope = inner.readScope.bind(inner);
    inner.readScope = async (scope, name): Promise<ScopeContents | 'unchanged'> => {
      inner.readScope = readScope;
      const contents = await readScope(scope, name);
      await slow.opened;
      return contents;
    };
    const older = get();
    await settled();
    await store.update(SCOPE, { name: 'k', value: 'new' });
    expect(await get()).toBe('new');
    slow.open();
    await older;
    const before = reads();
    expect(await get()).toBe('new');
    expect(await store.list(SCOPE)).toEqual([{ name: 'k', value: 'new' }]);
    expect(reads() - before).toBe(0);
  });

  it('is not seen stale in any interleaving of one reader and one writer', async () => {
    // Every order in which the steps of a slow read and a slow write can fall, twice in a row.
    for (let schedule = 0; schedule < 256; schedule += 1) {
      const { inner, store, get } = opened();
      await inner.create(SCOPE, { name: 'k', value: '0' });
      let written = 0;
      const steps: (() => void)[] = [];
      const step = async (): Promise<void> => new Promise((resolve) => steps.push(resolve));
      const readScope = inner.readScope.bind(inner);
      inner.readScope = async (scope, name) => {
        await step();
        const contents = await readScope(scope, name);
        await step();
        return contents;
      };
      const update = inner.update.bind(inner);
      inner.update = async (scope, secret) => {
        await step();
        await update(scope, secret);
        await step();
      };
      const read = async (): Promise<void> => {
        const before = written;
        expect(Number(await get())).toBeGreaterThanOrEqual(before);
      };
      const write = async (value: number): Promise<void> => {
        await store.update(SCOPE, { name: 'k', value: `${value}` });
        written = value;
      };
      const all = Promise.all([
        (async () => { for (let i = 0; i < 3; i += 1) await read(); })(),
        (async () => { for (let i = 1; i <= 2; i += 1) await write(i); })(),
      ]); // prettier-ignore
      let done = false;
      void all.finally(() => (done = true));
      for (let bit = 0; !done; bit += 1) {
        await settled();
        const next = steps.splice((schedule >> (bit % 8)) & 1 && steps.length > 1 ? 1 : 0, 1)[0];
        next?.();
      }
      await all;
    }
  });

  it.each([
    ['whose outcome is unknown', new StoreOutcomeUnknown(), 1],
    ['that the store refused', new StoreUnavailable(), 1],
    ['that never reached the store', new StoreUnreachable(), 0],
    ['that was one too many', new TooManyRequests(1), 0],
    ['that waited for those of others in vain', new ScopeBusy(), 0],
    // docs/cache.md: "That a list is too large refuses nothing that was read before."
    ['that needed a list which is too large', new ListTooLarge(), 0],
  ])('%s makes the next read ask: %#', async (_which, failure, asked) => {
    const { inner, store, get, reads } = await warmed();
    inner.failure = failure;
    await outcome(store.update(SCOPE, { name: 'k', value: 'second' }));
    inner.failure = undefined;
    await get();
    expect(reads()).toBe(asked);
  });

  it('whose outcome is unknown leaves the other names served while the store is gone; of its own only the store tells', async () => {
    const { inner, store, get, time, stale, invalidationBus } = await warmed();
    await inner.create(SCOPE, { name: 'other', value: 'o' });
    time.advance(5_001);
    await get();
    inner.failure = new StoreOutcomeUnknown();
    await outcome(store.update(SCOPE, { name: 'k', value: 'second' }));
    expect(invalidationBus.announced).toHaveLength(1);
    inner.failure = new StoreUnreachable();
    expect([await get('other'), stale]).toEqual(['o', [0]]);
    expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
    expect(await outcome(store.list(SCOPE))).toBe('STORE_UNAVAILABLE');
    inner.failure = undefined;
    expect(await get()).toBe('first');
    inner.failure = new StoreUnreachable();
    time.advance(10_000);
    expect([await get(), (await store.list(SCOPE)).length]).toEqual(['first', 2]);
  });

  it('whose outcome is unknown is not settled by a read that is not cached, since another write ended meanwhile', async () => {
    const { inner, store, get } = await warmed();
    await inner.create(SCOPE, { name: 'other', value: 'o' });
    const update = inner.update.bind(inner);
    inner.update = async (...call) => {
      await update(...call);
      throw new StoreOutcomeUnknown();
    };
    await outcome(store.update(SCOPE, { name: 'k', value: 'second' }));
    inner.update = update;
    const slow = gate();
    inner.gate = slow.opened;
    const reading = get();
    await settled();
    inner.gate = Promise.resolve();
    await store.update(SCOPE, { name: 'other', value: 'p' });
    slow.open();
    expect(await reading).toBe('second');
    inner.failure = new StoreUnreachable();
    expect([await outcome(get()), await get('other')]).toEqual(['STORE_UNAVAILABLE', 'p']);
  });

  it('whose outcome is unknown is told by the store, however slow that is', async () => {
    const { inner, store, get, time, stale } = await warmed();
    inner.failure = new StoreOutcomeUnknown();
    await outcome(store.update(SCOPE, { name: 'k', value: 'second' }));
    inner.failure = undefined;
    const slow = gate();
    inner.gate = slow.opened;
    const reading = get();
    await settled();
    time.advance(2_000);
    await settled();
    slow.open();
    expect([await reading, stale]).toEqual(['first', []]);
  });

  it.each([
    ['create', 'k', 'SECRET_ALREADY_EXISTS', 'first'],
    ['create', 'new', 'SECRET_ALREADY_EXISTS', 'STORE_UNAVAILABLE'],
    ['update', 'gone', 'SECRET_NOT_FOUND', 'SECRET_NOT_FOUND'],
    ['delete', 'gone', 'SECRET_NOT_FOUND', 'SECRET_NOT_FOUND'],
  ] as const)(
    'that is refused for what is there (%s of %s: %s) leaves what agrees served while the store is gone',
    async (operation, name, refusal, then) => {
      const { inner, store, get, stale, reads } = await warmed();
      if (name === 'new') await inner.create(SCOPE, { name, value: 'by another' });
      const secret = { name, value: 'mine' };
      const write = () =>
        operation === 'delete' ? store.delete(SCOPE, name) : store[operation](SCOPE, secret);
      expect(await outcome(write())).toBe(refusal);
      inner.failure = new StoreUnreachable();
      const before = reads();
      expect([await get(), stale, reads()]).toEqual(['first', [0], before + 1]);
      expect(await get(name).catch((error: { reason: string }) => error.reason)).toBe(then);
    },
  );

  it.each(['update', 'delete'] as const)(
    'that finds gone what was read (%s) leaves nothing of it served while the store is gone',
    async (operation) => {
      const { inner, store, get } = await warmed();
      await inner.delete(SCOPE, 'k');
      const write = () => (operation === 'delete' ? store.delete(SCOPE, 'k') : store.update(SCOPE, { name: 'k', value: 'v' })); // prettier-ignore
      expect(await outcome(write())).toBe('SECRET_NOT_FOUND');
      inner.failure = new StoreUnreachable();
      expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
    },
  );

  it('is served while the store is gone, also of a scope that was never read, until a read shows more', async () => {
    const { inner, store, get, stale, time } = opened();
    await store.create(SCOPE, { name: 'k', value: 'first' });
    await store.create(SCOPE, { name: 'other', value: 'o' });
    await store.delete(SCOPE, 'other');
    inner.failure = new StoreUnreachable();
    time.advance(2_000);
    expect([await get(), stale]).toEqual(['first', [2_000]]);
    expect(await outcome(get('other'))).toBe('SECRET_NOT_FOUND');
    expect(await outcome(get('third'))).toBe('STORE_UNAVAILABLE');
    expect(await outcome(store.list(SCOPE))).toBe('STORE_UNAVAILABLE');
    inner.failure = undefined;
    await inner.update(SCOPE, { name: 'k', value: 'by another' });
    expect(await get()).toBe('by another');
    inner.failure = new StoreUnreachable();
    time.advance(58_001);
    expect(await get()).toBe('by another');
    time.advance(2_000);
    expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
  });

  it('is not served any more once a read showed more, also where that is too large to be cached', async () => {
    const { inner, store, get } = opened({ maxBytes: 4_000 });
    await store.create(SCOPE, { name: 'k', value: 'first' });
    await inner.update(SCOPE, { name: 'k', value: 'by another' });
    await inner.create(SCOPE, { name: 'large', value: 'x'.repeat(2_000) });
    expect(await get()).toBe('by another');
    inner.failure = new StoreUnreachable();
    expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
  });

  it('whose outcome is unknown is not settled by a read that began before it', async () => {
    const { inner, store, get, time, outcomes } = await warmed();
    time.advance(5_001);
    const slow = gate();
    const readScope = inner.readScope.bind(inner);
    inner.readScope = async (scope, name) => {
      inner.readScope = readScope;
      const contents = await readScope(scope, name);
      await slow.opened;
      return contents;
    };
    const older = get();
    await settled();
    inner.failure = new StoreOutcomeUnknown();
    await outcome(store.update(SCOPE, { name: 'k', value: 'second' }));
    inner.failure = new StoreUnreachable();
    slow.open();
    await older;
    outcomes.length = 0;
    expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
    // Only reads that are answered are counted.
    expect(outcomes).toEqual([]);
  });

  it('is announced before the writer goes on, and only once it is done', async () => {
    const { inner, store, invalidationBus } = opened();
    const slow = gate();
    inner.gate = slow.opened;
    const writing = store.create(SCOPE, { name: 'k', value: 'v' });
    await settled();
    expect(invalidationBus.announced).toEqual([]);
    slow.open();
    await writing;
    expect(invalidationBus.announced).toEqual([{ scope: JSON.stringify(['alice', 'notes', 'prod']) }]);
  });

  it('of a whole workspace makes everything be asked for again, here and elsewhere', async () => {
    const { inner, store, get, reads, invalidationBus } = await warmed();
    const [workspace] = await inner.workspacesOf('alice');
    await store.removeWorkspace(workspace!);
    expect(await outcome(get())).toBe('SECRET_NOT_FOUND');
    expect([reads(), invalidationBus.announced]).toEqual([1, ['unknown']]);
  });

  it('of a whole workspace does so too where it failed, since it may have been sent before', async () => {
    const { inner, store, get, reads, invalidationBus } = await warmed();
    inner.removeWorkspace = () => Promise.reject(new StoreUnreachable());
    expect(await outcome(store.removeWorkspace('1'))).toBe('STORE_UNAVAILABLE');
    await get();
    expect([reads(), invalidationBus.announced]).toEqual([1, ['unknown']]);
  });
});

describe('what another replica wrote', () => {
  it('is read by the next read after it told', async () => {
    const { inner, get, invalidationBus } = await warmed();
    await inner.update(SCOPE, { name: 'k', value: 'theirs' });
    invalidationBus.tell({ scope: JSON.stringify(['alice', 'notes', 'prod']) });
    expect(await get()).toBe('theirs');
  });

  it('may have been missed: then everything is asked for again', async () => {
    const { get, invalidationBus, reads } = await warmed();
    invalidationBus.tell('unknown');
    await get();
    expect(reads()).toBe(1);
  });

  it('may have been missed while a read is under way: that read fills nothing', async () => {
    const { inner, get, invalidationBus, reads } = opened();
    await inner.create(SCOPE, { name: 'k', value: 'v' });
    const slow = gate();
    inner.gate = slow.opened;
    const reading = get();
    await settled();
    invalidationBus.tell('unknown');
    slow.open();
    await reading;
    await get();
    expect(reads()).toBe(2);
  });

  it('is served a second late at most while nothing is heard', async () => {
    const { time, get, invalidationBus, reads } = await warmed();
    invalidationBus.received = false;
    time.advance(1_000);
    await get();
    expect(reads()).toBe(0);
    time.advance(1);
    await get();
    expect(reads()).toBe(1);
  });
});

describe('while the store cannot be asked', () => {
  it.each([new StoreUnreachable(), new TooManyRequests(9)])('serves what it read, and says how old: %#', async (failure) => {
    const { inner, time, get, stale, store, outcomes } = await warmed();
    inner.failure = failure;
    time.advance(30_000);
    expect([await get(), stale]).toEqual(['first', [30_000]]);
    expect(await store.list(SCOPE)).toEqual([{ name: 'k', value: 'first' }]);
    expect(outcomes.slice(-2)).toEqual(['stale', 'stale']);
  }); // prettier-ignore

  it('says so too of a name that is not there', async () => {
    const { inner, time, store } = await warmed();
    inner.failure = new StoreUnreachable();
    time.advance(30_000);
    await expect(store.retrieve(SCOPE, 'no')).rejects.toMatchObject({
      reason: 'SECRET_NOT_FOUND',
      staleForMs: 30_000,
    });
  });

  it('does so for a minute, and not longer', async () => {
    const { inner, time, get } = await warmed();
    inner.failure = new StoreUnreachable();
    time.advance(60_000);
    expect(await get()).toBe('first');
    time.advance(1);
    expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
  });

  it('waits half a second for it, no longer, and takes its answer when it comes', async () => {
    const { inner, time, get, stale } = await warmed();
    await inner.update(SCOPE, { name: 'k', value: 'second' });
    const slow = gate();
    inner.gate = slow.opened;
    time.advance(10_000);
    const reading = get();
    await settled();
    time.advance(499);
    await settled();
    expect(stale).toEqual([]);
    time.advance(1);
    expect([await reading, stale]).toEqual(['first', [10_500]]);
    slow.open();
    await settled();
    expect(await get()).toBe('second');
  });

  it('serves nothing that a write or another replica superseded', async () => {
    const { inner, time, get, invalidationBus } = await warmed();
    invalidationBus.tell({ scope: JSON.stringify(['alice', 'notes', 'prod']) });
    inner.failure = new StoreUnreachable();
    time.advance(10_000);
    expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
  });

  it('serves nothing stale after the store itself refused, or said that there is nothing', async () => {
    for (const refusal of [new StoreUnavailable(), undefined]) {
      const { inner, time, get } = await warmed();
      time.advance(6_000);
      inner.failure = refusal;
      if (refusal === undefined) await inner.delete(SCOPE, 'k');
      await outcome(get());
      inner.failure = new StoreUnreachable();
      time.advance(6_000);
      expect(await outcome(get())).not.toBe('done');
    }
  });

  it('serves no scope stale after readiness learned that our credential is refused', async () => {
    const { inner, time, get, store } = await warmed();
    inner.failure = new StoreUnavailable();
    await outcome(store.ping());
    inner.failure = new StoreUnreachable();
    time.advance(6_000);
    expect(await outcome(get())).toBe('STORE_UNAVAILABLE');
  });

  it('is ready as long as it can serve', async () => {
    const { inner, time, store } = await warmed();
    inner.failure = new StoreUnreachable();
    expect(await outcome(store.ping())).toBe('done');
    time.advance(60_001);
    expect(await outcome(store.ping())).toBe('STORE_UNAVAILABLE');
  });

  it('is not ready where it holds nothing', async () => {
    const { inner, store } = opened();
    inner.failure = new StoreUnreachable();
    expect(await outcome(store.ping())).toBe('STORE_UNAVAILABLE');
  });
});

describe('a store that can tell whether anything has changed', () => {
  async function tagged(options: Partial<CacheOptions> = {}) {
    const house = opened(options);
    await house.inner.create(SCOPE, { name: 'k', value: 'v' });
    const readScope = house.inner.readScope.bind(house.inner);
    const asked: (string | undefined)[] = [];
    house.inner.readScope = async (scope, name, known) => {
      asked.push(known);
      const contents = (await readScope(scope, name)) as ScopeContents;
      const revision = JSON.stringify(contents.secrets);
      return known === revision ? 'unchanged' : { ...contents, revision };
    };
    return { ...house, asked };
  }

  it('is asked for that, and no is taken as read at that time', async () => {
    const { get, time, asked, stale, inner } = await tagged();
    for (let n = 0; n < 4; n += 1) {
      expect(await get()).toBe('v');
      time.advance(5_001);
    }
    expect(asked).toEqual([undefined, ...Array<unknown>(3).fill(expect.any(String))]);
    inner.failure = new StoreUnreachable();
    time.advance(50_000);
    expect([await get(), stale]).toEqual(['v', [55_001]]);
  });

  it('is read again as a whole when the entry was evicted before the answer', async () => {
    const { get, time, asked, inner, store } = await tagged();
    await get();
    time.advance(5_001);
    const slow = gate();
    inner.gate = slow.opened;
    const reading = get();
    await settled();
    await store.close();
    await settled();
    slow.open();
    expect(await reading).toBe('v');
    expect(asked).toEqual([undefined, expect.any(String), undefined]);
  });

  it.each([
    ['in the same turn', false],
    ['while a list was made of it', true],
  ])('is read again when the entry was evicted %s, and is then cached', async (_, isListed) => {
    const { get, time, inner, store, reads } = await tagged({ maxEntries: 1 });
    await inner.create(ELSEWHERE, { name: 'k', value: 'elsewhere' });
    for (let n = 0; n < 30; n += 1) await inner.create(SCOPE, { name: `n${n}`, value: 'x'.repeat(50_000) });
    await get();
    const listing = isListed ? store.list(SCOPE) : Promise.resolve([]);
    await Promise.resolve();
    time.advance(5_001);
    const slow = gate();
    inner.gate = slow.opened;
    const reading = get();
    await Promise.resolve();
    inner.gate = Promise.resolve();
    await get('k', ELSEWHERE);
    slow.open();
    expect(await reading).toBe('v');
    expect(await listing).toHaveLength(isListed ? 31 : 0);
    await settled();
    const before = reads();
    expect([await get(), reads() - before]).toEqual(['v', 0]);
  });

  it('leaves what it read served while it is gone, also where a write of unknown outcome ended before it said no', async () => {
    const { get, time, inner, store } = await tagged();
    await inner.create(SCOPE, { name: 'other', value: 'o' });
    await get();
    time.advance(5_001);
    const slow = gate();
    inner.gate = slow.opened;
    const reading = get();
    await settled();
    inner.gate = Promise.resolve();
    const update = inner.update.bind(inner);
    inner.update = () => Promise.reject(new StoreOutcomeUnknown());
    await outcome(store.update(SCOPE, { name: 'k', value: 'new' }));
    inner.update = update;
    slow.open();
    await reading;
    inner.failure = new StoreUnreachable();
    expect([await get('other'), await outcome(get())]).toEqual(['o', 'STORE_UNAVAILABLE']);
  });

  it('is asked once after a write whose outcome is unknown, and no ends the doubt', async () => {
    const { get, asked, store, inner } = await tagged();
    await get();
    inner.failure = new StoreOutcomeUnknown();
    await outcome(store.update(SCOPE, { name: 'k', value: 'new' }));
    inner.failure = undefined;
    expect([await get(), await get()]).toEqual(['v', 'v']);
    expect(asked).toEqual([undefined, expect.any(String)]);
  });

  it('is asked for all after a write', async () => {
    const { get, asked, store } = await tagged();
    await get();
    await store.update(SCOPE, { name: 'k', value: 'new' });
    expect(await get()).toBe('new');
    expect(asked).toEqual([undefined, undefined]);
  });
});

describe('memory', () => {
  it('is bounded by entries and by bytes, and a scope that is too large is not cached', async () => {
    const { inner, store, figures, reads } = opened({ maxEntries: 3, maxBytes: 40_000 });
    const scope = (n: number): SecretScope => ({ ...SCOPE, workspace: `w${n}` });
    for (let n = 0; n < 5; n += 1) await inner.create(scope(n), { name: 'k', value: 'small' });
    for (let n = 0; n < 5; n += 1) await store.retrieve(scope(n), 'k');
    expect([figures.now().entries, figures.evicted]).toEqual([3, 2]);
    for (let n = 5; n < 9; n += 1) await inner.create(scope(n), { name: 'k', value: 'x'.repeat(9_000) });
    for (let n = 5; n < 9; n += 1) await store.retrieve(scope(n), 'k');
    expect(figures.now().bytes).toBeLessThanOrEqual(40_000);
    await inner.create(scope(9), { name: 'k', value: 'x'.repeat(11_000) });
    const before = reads();
    for (let n = 0; n < 2; n += 1) expect((await store.retrieve(scope(9), 'k')).value).toHaveLength(11_000);
    expect(reads() - before).toBe(2);
  });

  it.each([
    ['less', 300_000, 60_000],
    ['never', 5_000, 0],
  ])(
    'holds what it read for the time to live, although that may be served stale %s',
    async (_, ttlMs, maxStaleMs) => {
      const { get, reads, time, figures, inner, store } = opened({ ttlMs, maxStaleMs });
      await inner.create(SCOPE, { name: 'k', value: 'v' });
      time.advance(7_000);
      await get();
      inner.failure = new StoreUnreachable();
      time.advance(ttlMs);
      expect([await get(), reads(), await outcome(store.ping())]).toEqual(['v', 1, 'done']);
      time.advance(10_000);
      expect([figures.now().entries, await outcome(store.ping())]).toEqual([0, 'STORE_UNAVAILABLE']);
    },
  );

  it('is let go of when nobody asks any more', async () => {
    const { time, figures } = await warmed();
    expect(figures.now().entries).toBe(1);
    time.advance(70_000);
    expect(figures.now()).toEqual({ entries: 0, bytes: 0 });
  });

  describe('is overwritten', () => {
    const blocks: Buffer[] = [];
    const texts = () => blocks.map((block) => block.toString());
    beforeEach(() => {
      blocks.length = 0;
      jest.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) => {
        const block = Buffer.alloc(size);
        blocks.push(block);
        return block;
      });
    });
    afterEach(() => jest.restoreAllMocks());

    it('when it is replaced, or was too large to be cached', async () => {
      const { store } = await warmed();
      expect(texts()).toEqual(['first']);
      await store.update(SCOPE, { name: 'k', value: 'second' });
      await settled();
      expect(texts()[0]).toBe('\0'.repeat(5));
      const { inner: large, get } = opened({ maxBytes: 1_000 });
      await large.create(SCOPE, { name: 'k', value: 'x'.repeat(900) });
      await get();
      await settled();
      expect(texts().at(-1)).toBe('\0'.repeat(900));
    });

    it('when a list that was being made of it has ended', async () => {
      const { inner, store, invalidationBus } = opened();
      for (const name of ['a', 'b', 'c']) await inner.create(SCOPE, { name, value: 'x'.repeat(70_000) });
      await store.list(SCOPE);
      const listing = store.list(SCOPE);
      await settled();
      invalidationBus.tell({ scope: scopeKeyOf(SCOPE) });
      await settled();
      expect(texts()[0]?.replaceAll('x', '')).toBe('');
      expect((await listing).map(({ value }) => value.length)).toEqual(Array(3).fill(70_000));
      await settled();
      expect(texts()[0]?.replaceAll('\0', '')).toBe('');
    });

    it('when a write ended before it was read', async () => {
      const { inner, get, invalidationBus } = opened();
      await inner.create(SCOPE, { name: 'k', value: 'first' });
      const slow = gate();
      inner.gate = slow.opened;
      const reading = get();
      await settled();
      invalidationBus.tell({ scope: scopeKeyOf(SCOPE) });
      slow.open();
      expect([await reading, texts()]).toEqual(['first', ['first']]);
      await settled();
      expect(texts()).toEqual(['\0'.repeat(5)]);
    });

    it('when another replica wrote, also where names were read one by one', async () => {
      const { get, invalidationBus } = await byName();
      expect([await get('a'), await get('b'), texts()]).toEqual(['v-a', 'v-b', ['v-a', 'v-b']]);
      invalidationBus.tell({ scope: scopeKeyOf(SCOPE) });
      await settled();
      expect(texts()).toEqual(['\0\0\0', '\0\0\0']);
    });
  });
});

/** A cache of a store that reads name by name. */
async function byName() {
  const house = opened();
  house.inner.readScope = async (scope, name) => {
    const secrets = (await house.inner.list(scope)).secrets.filter((secret) => secret.name === name);
    return { whole: false, secrets, unreadable: new Set() };
  };
  for (const name of ['a', 'b']) await house.inner.create(SCOPE, { name, value: `v-${name}` });
  return house;
}

describe('a store that reads name by name', () => {
  it('is asked once for each name', async () => {
    const { get, reads, store } = await byName();
    for (let n = 0; n < 3; n += 1) expect([await get('a'), await get('b')]).toEqual(['v-a', 'v-b']);
    expect(await outcome(store.retrieve(SCOPE, 'c'))).toBe('SECRET_NOT_FOUND');
    expect(reads()).toBe(3);
  });

  it('gives each of those that come together their own name', async () => {
    const { get } = await byName();
    expect(await Promise.all([get('a'), get('b'), get('a')])).toEqual(['v-a', 'v-b', 'v-a']);
  });

  it('reads again for a list that joined the read of one name', async () => {
    const { get, store, outcomes } = await byName();
    const together = Promise.all([get('a'), store.list(SCOPE)]);
    const [value, listed] = await together;
    expect([value, listed.map(({ name }) => name)]).toEqual(['v-a', ['a', 'b']]);
    // One for the read of the name, one for the list that joined it, and one for the list itself.
    expect(outcomes).toEqual(['miss', 'miss', 'miss']);
  });

  it('answers by name also the read that joined a list which is too large', async () => {
    const { inner, get, store } = await byName();
    inner.readScope = async (_scope, name) => {
      const secrets = [{ name, value: `v-${name}` }];
      return { whole: false, secrets, unreadable: new Set() };
    };
    const slow = gate();
    inner.list = async () => {
      await slow.opened;
      throw new ListTooLarge();
    };
    const together = [outcome(store.list(SCOPE)), get('a'), get('b'), outcome(store.list(SCOPE))];
    slow.open();
    expect(await Promise.all(together)).toEqual(['LIST_TOO_LARGE', 'v-a', 'v-b', 'LIST_TOO_LARGE']);
  });

  it('answers by name also the read that joined one of a name for which the too large list is needed', async () => {
    const { inner, get, store } = await byName();
    inner.readScope = async (_scope, name) => {
      await settled();
      if (name === 'twice') throw new ListTooLarge();
      return { whole: false, secrets: [{ name, value: `v-${name}` }], unreadable: new Set() };
    };
    const together = [outcome(store.retrieve(SCOPE, 'twice')), get('a'), get('b')];
    expect(await Promise.all(together)).toEqual(['LIST_TOO_LARGE', 'v-a', 'v-b']);
  });

  it('gives a name of its own also to a read that joined that of another name, is slow, and may not be stale', async () => {
    const { inner, get, store, time } = opened();
    for (const name of ['a', 'b']) await inner.create(SCOPE, { name, value: `v-${name}` });
    await get('a');
    inner.update = () => Promise.reject(new StoreOutcomeUnknown());
    await outcome(store.update(SCOPE, { name: 'b', value: 'new' }));
    const slow = gate();
    inner.readScope = async (_scope, name) => {
      await slow.opened;
      return { whole: false, secrets: [{ name, value: `w-${name}` }], unreadable: new Set() };
    };
    const together = [get('a'), get('b')];
    await settled();
    time.advance(600);
    await settled();
    slow.open();
    expect(await Promise.all(together)).toEqual(['v-a', 'w-b']);
  });

  it('asks at most twice for all that come together for a name for which the too large list is needed', async () => {
    const { inner, store } = await byName();
    let asked = 0;
    inner.readScope = async () => {
      asked += 1;
      await settled();
      throw new ListTooLarge();
    };
    const together = Array.from({ length: 20 }, () => outcome(store.retrieve(SCOPE, 'twice')));
    expect(await Promise.all(together)).toEqual(Array(20).fill('LIST_TOO_LARGE'));
    expect(asked).toBeLessThanOrEqual(2);
  });

  it('answers with a list that is fresh, and with a name that was read after it', async () => {
    const { inner, get, store, reads, time } = await byName();
    await get('a');
    time.advance(5_001);
    await store.list(SCOPE);
    expect([await get('a'), await get('b'), reads()]).toEqual(['v-a', 'v-b', 2]);
    await inner.update(SCOPE, { name: 'a', value: 'by hand' });
    time.advance(5_001);
    expect([await get('a'), await get('a'), reads()]).toEqual(['by hand', 'by hand', 3]);
    inner.failure = new StoreUnreachable();
    time.advance(5_001);
    expect(await get('a')).toBe('by hand');
  });

  it('leaves a list served while it is gone, and each name of it', async () => {
    const { inner, get, store, time, stale } = await byName();
    await store.list(SCOPE);
    time.advance(6_000);
    await get('a');
    inner.failure = new StoreUnreachable();
    expect([await get('a'), await get('b'), stale]).toEqual(['v-a', 'v-b', [6_000]]);
    expect(await store.list(SCOPE)).toHaveLength(2);
  });

  it('leaves names served while it is gone, although the list of all became too large', async () => {
    const { inner, get, store, time } = await byName();
    await get('a');
    const list = inner.list.bind(inner);
    inner.list = () => Promise.reject(new ListTooLarge());
    expect(await outcome(store.list(SCOPE))).toBe('LIST_TOO_LARGE');
    inner.list = list;
    inner.failure = new StoreUnreachable();
    time.advance(6_000);
    expect(await get('a')).toBe('v-a');
  });

  it('shows a write to the next read', async () => {
    const { store, get } = await byName();
    await get('a');
    await store.update(SCOPE, { name: 'a', value: 'new' });
    expect(await get('a')).toBe('new');
  });
});

describe('a write to a store that reads name by name', () => {
  async function warmByName() {
    const house = opened();
    house.inner.readScope = async (scope, name) => {
      const secrets = (await house.inner.list(scope)).secrets.filter((secret) => secret.name === name);
      return { whole: false, secrets, unreadable: new Set() };
    };
    for (const name of ['a', 'b', 'c']) await house.inner.create(SCOPE, { name, value: `v-${name}` });
    await house.inner.create(ELSEWHERE, { name: 'a', value: 'elsewhere' });
    for (const name of ['a', 'b', 'c']) await house.get(name);
    await house.get('a', ELSEWHERE);
    return house;
  }

  it('is served, and so is what was read of the others, while the store is gone', async () => {
    const { inner, store, get, reads } = await warmByName();
    await store.update(SCOPE, { name: 'a', value: 'new' });
    await store.delete(SCOPE, 'b');
    inner.failure = new StoreUnreachable();
    const before = reads();
    expect([await get('a'), await get('c')]).toEqual(['new', 'v-c']);
    expect(await outcome(get('b'))).toBe('SECRET_NOT_FOUND');
    expect(reads()).toBe(before + 3);
    expect([await get('a', ELSEWHERE), reads()]).toEqual(['elsewhere', before + 3]);
  });

  it('whose outcome is unknown leaves the others served', async () => {
    const { inner, store, get } = await warmByName();
    inner.failure = new StoreOutcomeUnknown();
    await outcome(store.update(SCOPE, { name: 'a', value: 'new' }));
    inner.failure = new StoreUnreachable();
    expect([await outcome(get('a')), await get('b')]).toEqual(['STORE_UNAVAILABLE', 'v-b']);
  });

  it('is served with a list that was read before, while the store is gone', async () => {
    const { inner, store, get, time } = await warmByName();
    await inner.create(SCOPE, { name: 'd', value: 'v-d' });
    await store.list(SCOPE);
    time.advance(6_000);
    await inner.update(SCOPE, { name: 'c', value: 'by hand' });
    await get('c');
    await store.update(SCOPE, { name: 'a', value: 'new' });
    await store.delete(SCOPE, 'b');
    inner.failure = new StoreUnreachable();
    expect([await get('a'), await outcome(get('b'))]).toEqual(['new', 'SECRET_NOT_FOUND']);
    expect([await get('c'), await get('d')]).toEqual(['by hand', 'v-d']);
    expect((await store.list(SCOPE)).map(({ value }) => value)).toEqual(['new', 'v-c', 'v-d']);
  });

  it('whose outcome is unknown is not told by a read that cannot show the value', async () => {
    const { inner, store, get } = await warmByName();
    await store.list(SCOPE);
    inner.failure = new StoreOutcomeUnknown();
    await outcome(store.update(SCOPE, { name: 'a', value: 'new' }));
    inner.failure = undefined;
    const readScope = inner.readScope.bind(inner);
    inner.readScope = async () => ({ whole: false, secrets: [], unreadable: new Set(['a']) });
    inner.retrieve = () => Promise.reject(new StoreUnavailable());
    expect(await outcome(get('a'))).toBe('STORE_UNAVAILABLE');
    inner.readScope = readScope;
    inner.failure = new StoreUnreachable();
    expect([await outcome(store.list(SCOPE)), await get('b')]).toEqual(['STORE_UNAVAILABLE', 'v-b']);
  });

  it.each([
    ['happened', true],
    ['did not', false],
  ])('whose outcome is unknown is told by a read of its own name only, and %s', async (_, happened) => {
    const { inner, store, get, time } = await warmByName();
    const current = happened ? 'new' : 'v-a';
    await store.list(SCOPE);
    const update = inner.update.bind(inner);
    inner.update = async (...call) => {
      if (happened) await update(...call);
      throw new StoreOutcomeUnknown();
    };
    await outcome(store.update(SCOPE, { name: 'a', value: 'new' }));
    await get('b');
    inner.failure = new StoreUnreachable();
    for (const read of [get('a'), store.list(SCOPE)]) expect(await outcome(read)).toBe('STORE_UNAVAILABLE');
    inner.failure = undefined;
    expect(await get('a')).toBe(current);
    inner.failure = new StoreUnreachable();
    time.advance(6_000);
    expect([await get('a'), await get('b')]).toEqual([current, 'v-b']);
    expect((await store.list(SCOPE)).map(({ value }) => value)).toEqual([current, 'v-b', 'v-c']);
  });

  it('of a whole workspace leaves nothing served', async () => {
    const { inner, store, get } = await warmByName();
    await store.removeWorkspace('x');
    inner.failure = new StoreUnreachable();
    expect(await outcome(get('b'))).toBe('STORE_UNAVAILABLE');
  });
});

describe('a name that no secret can have', () => {
  it('is refused by the rule, warm or cold', async () => {
    const { inner, store } = await warmed();
    inner.requireName = () => {
      throw new InvalidRequest('name', 'is odd');
    };
    for (const name of ['odd', 'odd'])
      expect(await outcome(store.retrieve(SCOPE, name))).toBe('INVALID_REQUEST');
  });
});

describe('a value that the store cannot show', () => {
  it('is asked for once by a hundred reads, and again after the time to live', async () => {
    const { inner, store, time } = opened();
    const contents = { whole: true, secrets: [], unreadable: new Set(['hidden']), revision: 'r' };
    inner.readScope = async (_scope, _name, ifRevision) => (ifRevision === 'r' ? 'unchanged' : contents);
    let asked = 0;
    inner.retrieve = () => Promise.reject(new StoreUnavailable(`asked ${(asked += 1)} times`));
    const message = () => store.retrieve(SCOPE, 'hidden').catch((error: Error) => error.message);
    const messages = new Set(await Promise.all(Array.from({ length: 100 }, message)));
    expect([...messages.add(await message())]).toEqual(['asked 1 times']);
    time.advance(2_000);
    expect(await message()).toBe('asked 1 times');
    time.advance(3_001);
    expect([await message(), await message()]).toEqual(['asked 2 times', 'asked 2 times']);
  });

  it('is there for a write as any other: a create that is refused for it leaves the entry served, a delete that finds none does not', async () => {
    const { inner, cache, store } = opened();
    inner.list = async () => {
      if (inner.failure !== undefined) throw inner.failure;
      return { secrets: [], unreadable: ['hidden'] };
    };
    await cache.list(SCOPE, UNATTENDED);
    inner.create = () => Promise.reject(new SecretAlreadyExists('hidden'));
    await outcome(store.create(SCOPE, { name: 'hidden', value: 'v' }));
    inner.failure = new StoreUnreachable();
    expect(await cache.list(SCOPE, UNATTENDED)).toMatchObject({ unreadable: ['hidden'] });
    inner.delete = () => Promise.reject(new SecretNotFound('hidden'));
    await outcome(store.delete(SCOPE, 'hidden'));
    expect(await outcome(cache.list(SCOPE, UNATTENDED))).toBe('STORE_UNAVAILABLE');
  });

  it('is asked for again where the store did not answer', async () => {
    const { inner, store } = opened();
    inner.readScope = async () => ({ whole: true, secrets: [], unreadable: new Set(['hidden']) });
    const failures = [new StoreUnreachable('gone'), new StoreUnavailable('hidden')];
    inner.retrieve = () => Promise.reject(failures.shift() ?? new Error('asked too often'));
    for (const message of ['gone', 'hidden', 'hidden'])
      await expect(store.retrieve(SCOPE, 'hidden')).rejects.toThrow(message);
  });

  it('is told of by the store itself, and hides no other', async () => {
    const { inner, get, store, cache } = opened();
    await inner.create(SCOPE, { name: 'k', value: 'v' });
    inner.readScope = async (scope) => ({
      whole: true,
      secrets: (await inner.list(scope)).secrets,
      unreadable: new Set(['hidden']),
    });
    inner.retrieve = async () => Promise.reject(new StoreUnavailable());
    expect(await get()).toBe('v');
    expect(await outcome(store.retrieve(SCOPE, 'hidden'))).toBe('STORE_UNAVAILABLE');
    expect(await cache.list(SCOPE, UNATTENDED)).toEqual({
      secrets: [{ name: 'k', value: 'v' }],
      unreadable: ['hidden'],
    });
  });

  it.each(['a retrieve', 'a list'])(
    'is named beside a list, also from what %s left in memory',
    async (before) => {
      const { inner, get, cache, reads } = opened();
      await inner.create(SCOPE, { name: 'k', value: 'v' });
      const list = inner.list.bind(inner);
      inner.list = async (scope) => ({ ...(await list(scope)), unreadable: ['hidden'] });
      inner.readScope = async (scope) => ({
        whole: true,
        secrets: (await list(scope)).secrets,
        unreadable: new Set(['hidden']),
      });
      if (before === 'a retrieve') await get();
      else await cache.list(SCOPE, UNATTENDED);
      expect(await cache.list(SCOPE, UNATTENDED)).toEqual({
        secrets: [{ name: 'k', value: 'v' }],
        unreadable: ['hidden'],
      });
      expect(reads()).toBe(1);
    },
  );
});

describe('a write that the store acknowledged before it went away', () => {
  const written = [
    ['create', (store: StoreClient) => store.create(SCOPE, { name: 'a', value: 'new' })],
    ['update', (store: StoreClient) => store.update(SCOPE, { name: 'k', value: 'new and longer' })],
    ['delete', (store: StoreClient) => store.delete(SCOPE, 'l')],
  ] as const;

  it.each(written)('is served with all that was read before: %s', async (_, write) => {
    const { inner, store, cache, time } = await warmed();
    await inner.create(SCOPE, { name: 'l', value: 'other' });
    time.advance(6_000);
    await store.list(SCOPE);
    await write(store);
    const { secrets: truth } = await inner.list(SCOPE);
    inner.failure = new StoreUnreachable();
    const staleForMs = expect.any(Number) as number;
    expect(await cache.list(SCOPE, UNATTENDED)).toEqual({ secrets: truth, staleForMs });
    for (const { name, value } of truth) expect((await store.retrieve(SCOPE, name)).value).toBe(value);
    time.advance(60_001);
    expect(await outcome(store.list(SCOPE))).toBe('STORE_UNAVAILABLE');
  });

  it.each(written)('is asked for as before where the store is there: %s', async (_, write) => {
    const { inner, store, time } = await warmed();
    await inner.create(SCOPE, { name: 'l', value: 'other' });
    time.advance(6_000);
    await store.list(SCOPE);
    await write(store);
    await inner.create(SCOPE, { name: 'by-hand', value: 'v' });
    expect(await store.list(SCOPE)).toEqual((await inner.list(SCOPE)).secrets);
  });

  it('is not served any more once another replica has written', async () => {
    const { inner, store, invalidationBus } = await warmed();
    await store.update(SCOPE, { name: 'k', value: 'ours' });
    invalidationBus.tell({ scope: scopeKeyOf(SCOPE) });
    inner.failure = new StoreUnreachable();
    expect(await outcome(store.retrieve(SCOPE, 'k'))).toBe('STORE_UNAVAILABLE');
  });
});
