import { deadlineIn } from '../../../src/time/clock';
import { StoreClient } from '../../support/store-client';
import {
  ListTooLarge,
  StoreOutcomeUnknown,
  StoreUnavailable,
  StoreUnreachable,
} from '../../../src/errors/store-errors';
import {
  scopeKeyOf,
  type Secret,
  type SecretScope,
  type ScopeUsage,
  UNATTENDED,
} from '../../../src/secrets/secret';
import { refusal, secretOf, withQuotas } from '../../conformance/quotas.conformance';
import { outcome } from '../../conformance/secret-store.conformance';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { MemorySecretStore } from '../../support/memory.secret-store';

const SCOPE: SecretScope = { user: 'alice', workspace: 'notes', environment: 'prod' };
const OTHER: SecretScope = { ...SCOPE, workspace: 'other' };
const MINUTES_MS = 60_000;

/** A store whose writes may end without its word, done or not, and that can have too much to list. */
class DoubtfulStore extends MemorySecretStore {
  unknown: 'done' | 'not done' | undefined;
  tooLarge = false;
  endsAtMs = 0;

  override async create(scope: SecretScope, secret: Secret, { deadline } = UNATTENDED): Promise<void> {
    this.endsAtMs = deadline.endsAtMs;
    return this.#perhaps(() => super.create(scope, secret));
  }

  override async update(scope: SecretScope, secret: Secret): Promise<void> {
    return this.#perhaps(() => super.update(scope, secret));
  }

  override async delete(scope: SecretScope, name: string): Promise<void> {
    return this.#perhaps(() => super.delete(scope, name));
  }

  override async measure(scope: SecretScope): Promise<ScopeUsage> {
    if (this.tooLarge) throw new ListTooLarge();
    return super.measure(scope);
  }

  async #perhaps(write: () => Promise<void>): Promise<void> {
    if (this.unknown !== 'not done') await write();
    if (this.unknown !== undefined) throw new StoreOutcomeUnknown();
  }
}

function opened(quotas: Parameters<typeof withQuotas>[1]) {
  const inner = new DoubtfulStore();
  const time = new FixedMonotonicTime();
  const refused: string[] = [];
  const observer = { quotaExceeded: (limit: string) => void refused.push(limit) };
  const limited = withQuotas(inner, quotas, { time, observer });
  const measurements = () => inner.calls.filter((call) => call.startsWith('list')).length;
  return { inner, time, store: new StoreClient(limited), limited, refused, measurements };
}

describe('a store behind quotas', () => {
  it('measures a workspace once, and makes no further call for the writes after it', async () => {
    const { inner, store, measurements } = opened({ workspace: { secrets: 10 }, user: { secrets: 10 } });
    for (const name of ['a', 'b']) await inner.create(SCOPE, { name, value: 'v' });
    inner.calls.length = 0;
    await store.update(SCOPE, { name: 'a', value: 'w' });
    await store.create(SCOPE, { name: 'c', value: 'w' });
    await store.delete(SCOPE, 'b');
    expect(inner.calls.map((call) => call.split(' ')[0])).toEqual(['list', 'update', 'create', 'delete']);
    await Promise.all(['d', 'e', 'f'].map((name) => store.create(OTHER, { name, value: 'v' })));
    expect(measurements()).toBe(2);
  });

  it('forwards reads unchanged', async () => {
    const { inner, limited } = opened({ workspace: { secrets: 1 } });
    const reading = Promise.resolve({ secret: { name: 'k', value: 'v' } });
    inner.retrieve = () => reading;
    expect(limited.retrieve(SCOPE, 'k', UNATTENDED)).toBe(reading);
  });

  it.each(['done', 'not done'] as const)(
    'counts a create of unknown outcome (%s) until it is measured again',
    async (how) => {
      const { inner, store } = opened({ workspace: { bytes: 100 }, user: { bytes: 100 } });
      await store.create(SCOPE, secretOf('a', 10));
      inner.unknown = how;
      const both = [store.create(SCOPE, secretOf('b', 60)), store.create(SCOPE, secretOf('c', 60))];
      expect(await Promise.all(both.map(outcome))).toEqual(['STORE_OUTCOME_UNKNOWN', 'QUOTA_EXCEEDED']);
      inner.unknown = undefined;
      expect(await outcome(store.create(SCOPE, secretOf('d', 60)))).toBe(
        how === 'done' ? 'QUOTA_EXCEEDED' : 'done',
      );
      const { bytes } = await inner.measure(SCOPE);
      expect(await refusal(store.create(SCOPE, secretOf('e', 91)))).toMatchObject({ used: bytes });
    },
  );

  it.each(['done', 'not done'] as const)(
    'believes an update and a delete of unknown outcome (%s) as far as it can be measured',
    async (how) => {
      const { inner, store } = opened({ workspace: { bytes: 100 } });
      await store.create(SCOPE, secretOf('a', 40));
      await store.create(SCOPE, secretOf('b', 40));
      inner.unknown = how;
      expect(await outcome(store.update(SCOPE, secretOf('a', 60)))).toBe('STORE_OUTCOME_UNKNOWN');
      expect(await outcome(store.delete(SCOPE, 'b'))).toBe('STORE_OUTCOME_UNKNOWN');
      inner.unknown = undefined;
      const { bytes } = await inner.measure(SCOPE);
      expect(bytes).toBe(how === 'done' ? 60 : 80);
      expect(await refusal(store.create(SCOPE, secretOf('c', 90)))).toMatchObject({ used: bytes });
    },
  );

  describe('where a measurement tells no sizes of single secrets', () => {
    const openedWithoutSizes = (quotas: Parameters<typeof withQuotas>[1]) => {
      const all = opened(quotas);
      const measure = all.inner.measure.bind(all.inner);
      all.inner.measure = async (scope) => {
        const { secrets, bytes } = await measure(scope);
        return { secrets, bytes };
      };
      return all;
    };

    it.each(['update', 'delete'] as const)(
      'counts a secret right whose name had one more write under way, its %s, when a create was refused',
      async (kind) => {
        const { inner, store } = openedWithoutSizes({ workspace: { secrets: 3 } });
        await inner.create(SCOPE, secretOf('a', 10));
        await store.create(SCOPE, secretOf('b', 10));
        const create = store.create(SCOPE, secretOf('a', 20));
        const write = kind === 'update' ? store.update(SCOPE, secretOf('a', 30)) : store.delete(SCOPE, 'a');
        expect(await Promise.all([outcome(create), outcome(write)])).toEqual([
          'SECRET_ALREADY_EXISTS',
          'done',
        ]);
        const left = kind === 'update' ? 1 : 2;
        for (let i = 0; i < left; i++)
          expect(await outcome(store.create(SCOPE, secretOf(`new-${i}`, 10)))).toBe('done');
        expect(await outcome(store.create(SCOPE, secretOf('more', 10)))).toBe('QUOTA_EXCEEDED');
      },
    );

    it('measures a workspace in which a secret was deleted before it refuses one in another for the quota of the user', async () => {
      const { inner, store } = openedWithoutSizes({ user: { secrets: 3 } });
      for (const name of ['a', 'b']) await inner.create(SCOPE, secretOf(name, 10));
      await store.create(SCOPE, secretOf('c', 10));
      await store.delete(SCOPE, 'a');
      expect(await outcome(store.create(OTHER, secretOf('d', 10)))).toBe('done');
      expect(await outcome(store.create(OTHER, secretOf('e', 10)))).toBe('QUOTA_EXCEEDED');
    });
  });

  it('does not say that a secret exists where the store cannot tell', async () => {
    const { inner, store } = opened({ workspace: { secrets: 1 } });
    await store.create(SCOPE, secretOf('a', 10));
    inner.sizeOf = async () => Promise.reject(new StoreUnavailable());
    expect(await outcome(store.create(SCOPE, secretOf('b', 10)))).toBe('QUOTA_EXCEEDED');
  });

  it('refuses nothing for a usage that could not be measured again, and measures it for the next write', async () => {
    const { inner, limited, store, time } = opened({ workspace: { secrets: 2 } });
    for (const name of ['a', 'b']) await store.create(SCOPE, secretOf(name, 10));
    await inner.delete(SCOPE, 'a');
    limited.writtenElsewhere(scopeKeyOf(SCOPE));
    inner.measure = async () => Promise.reject(new StoreUnavailable());
    inner.sizeOf = async () => Promise.reject(new StoreUnavailable());
    for (let i = 0; i < 2; i++)
      expect(await outcome(store.create(SCOPE, secretOf('c', 10)))).toBe('STORE_UNAVAILABLE');
    Reflect.deleteProperty(inner, 'measure');
    Reflect.deleteProperty(inner, 'sizeOf');
    time.advance(1_000);
    expect(await outcome(store.create(SCOPE, secretOf('c', 10)))).toBe('done');
    expect(await outcome(store.create(SCOPE, secretOf('d', 10)))).toBe('QUOTA_EXCEEDED');
  });

  it('measures what could not be measured before it refuses a write for the quota of the user, in whichever workspace', async () => {
    const { inner, limited, store, time } = opened({ user: { secrets: 2 } });
    await store.create(SCOPE, secretOf('a', 10));
    limited.writtenElsewhere(scopeKeyOf(SCOPE));
    inner.measure = async () => Promise.reject(new StoreUnavailable());
    await store.create(SCOPE, secretOf('b', 10));
    Reflect.deleteProperty(inner, 'measure');
    time.advance(1_000);
    expect(await outcome(store.create(OTHER, secretOf('c', 10)))).toBe('QUOTA_EXCEEDED');
    await inner.delete(SCOPE, 'a');
    limited.writtenElsewhere(scopeKeyOf(SCOPE));
    expect(await outcome(store.create(OTHER, secretOf('c', 10)))).toBe('done');
  });

  it('waits for the writes under way to a workspace that has to be measured again before it refuses one for its quota', async () => {
    const { inner, limited, store, time } = opened({ workspace: { secrets: 2 } });
    for (const name of ['a', 'b']) await store.create(SCOPE, secretOf(name, 10));
    await inner.delete(SCOPE, 'a');
    limited.writtenElsewhere(scopeKeyOf(SCOPE));
    inner.measure = async () => Promise.reject(new StoreUnavailable());
    await store.update(SCOPE, secretOf('b', 10));
    Reflect.deleteProperty(inner, 'measure');
    time.advance(1_000);
    let open: () => void = () => undefined;
    inner.gate = new Promise((resolve) => (open = resolve));
    const update = store.update(SCOPE, secretOf('b', 5));
    const create = outcome(store.create(SCOPE, secretOf('c', 10)));
    await new Promise(setImmediate);
    open();
    await update;
    expect(await create).toBe('done');
  });

  it('fails with the error of the store when a measurement fails, and does not cache it', async () => {
    const { inner, store } = opened({ workspace: { secrets: 1 } });
    inner.failure = new StoreUnreachable();
    for (let i = 0; i < 3; i++)
      expect(await outcome(store.create(SCOPE, secretOf('a', 10)))).toBe('STORE_UNAVAILABLE');
    inner.failure = undefined;
    await store.create(SCOPE, secretOf('a', 10));
    inner.failure = new StoreUnreachable();
    expect(await outcome(store.update(SCOPE, secretOf('a', 20)))).toBe('STORE_UNAVAILABLE');
    inner.failure = undefined;
    expect(await refusal(store.create(SCOPE, secretOf('b', 10)))).toMatchObject({ used: 1 });
  });

  it('measures a workspace again after ten minutes, and uses the earlier figures when that fails', async () => {
    const { inner, time, store } = opened({ workspace: { secrets: 2 } });
    await store.create(SCOPE, secretOf('a', 10));
    await inner.create(SCOPE, secretOf('by-hand', 10));
    time.advance(10 * MINUTES_MS);
    await store.create(SCOPE, secretOf('b', 10));
    await store.delete(SCOPE, 'b');
    inner.measure = async () => Promise.reject(new StoreUnreachable());
    time.advance(1);
    await store.create(SCOPE, secretOf('b', 10));
    await store.delete(SCOPE, 'b');
    Reflect.deleteProperty(inner, 'measure');
    time.advance(MINUTES_MS + 1);
    expect(await outcome(store.create(SCOPE, secretOf('b', 10)))).toBe('QUOTA_EXCEEDED');
  });

  it('measures a workspace again after a write of another replica, unless it is nearly empty', async () => {
    const { inner, store, limited, measurements } = opened({ workspace: { secrets: 8 } });
    await store.create(SCOPE, secretOf('a', 10));
    limited.writtenElsewhere(scopeKeyOf(SCOPE));
    await store.create(SCOPE, secretOf('b', 10));
    expect(measurements()).toBe(1);
    await store.create(SCOPE, secretOf('c', 10));
    for (let i = 0; i < 5; i++) await inner.create(SCOPE, secretOf(`other-${i}`, 10));
    limited.writtenElsewhere(scopeKeyOf(OTHER));
    limited.writtenElsewhere(scopeKeyOf(SCOPE));
    expect(await outcome(store.create(SCOPE, secretOf('d', 10)))).toBe('QUOTA_EXCEEDED');
  });

  it('measures every workspace again after a write of another replica to an unknown one', async () => {
    const { inner, store, limited } = opened({ workspace: { secrets: 8 } });
    await store.create(SCOPE, secretOf('a', 10));
    for (let i = 0; i < 7; i++) await inner.create(SCOPE, secretOf(`other-${i}`, 10));
    limited.writtenElsewhere(undefined);
    expect(await outcome(store.create(SCOPE, secretOf('d', 10)))).toBe('QUOTA_EXCEEDED');
  });

  it('counts a workspace that is too large to list as full', async () => {
    const { inner, store } = opened({ workspace: { secrets: 100, bytes: 1_000 } });
    await inner.create(SCOPE, secretOf('a', 50));
    inner.tooLarge = true;
    expect(await refusal(store.create(SCOPE, secretOf('b', 10)))).toMatchObject({ used: 100 });
    expect(await refusal(store.update(SCOPE, secretOf('a', 51)))).toMatchObject({ used: 1_000 });
    expect(await refusal(store.update(SCOPE, secretOf('a', 50)))).toBe('done');
    expect(await refusal(store.delete(SCOPE, 'a'))).toBe('done');
  });

  it('counts a workspace that is too large to list as all that its user may hold, where workspaces have no quota', async () => {
    const { inner, store } = opened({ user: { secrets: 100 } });
    await inner.create(SCOPE, secretOf('a', 50));
    inner.tooLarge = true;
    expect(await outcome(store.create(SCOPE, secretOf('b', 10)))).toBe('QUOTA_EXCEEDED');
    expect(await outcome(store.delete(SCOPE, 'a'))).toBe('done');
  });

  it('tells its observer the limit of each refusal, and nothing else', async () => {
    const { store, refused } = opened({
      workspace: { secrets: 2, bytes: 20 },
      user: { secrets: 3, bytes: 35 },
    });
    await store.create(SCOPE, secretOf('a', 15));
    await outcome(store.create(SCOPE, secretOf('b', 6)));
    await store.create(SCOPE, secretOf('b', 5));
    await outcome(store.create(SCOPE, secretOf('c', 1)));
    await outcome(store.create(SCOPE, secretOf('a', 1_000)));
    await outcome(store.create(OTHER, secretOf('c', 16)));
    await store.create(OTHER, secretOf('c', 15));
    await outcome(store.create(OTHER, secretOf('d', 1)));
    expect(refused).toEqual(['workspace_bytes', 'workspace_secrets', 'user_bytes', 'user_secrets']);
  });

  it('leaves a write its deadline, whatever a measurement takes', async () => {
    const { inner, time, limited } = opened({ workspace: { secrets: 2 } });
    const list = inner.list.bind(inner);
    inner.list = async (scope) => {
      time.advance(3_000);
      return list(scope);
    };
    const deadline = deadlineIn(20_000, time);
    await limited.create(SCOPE, secretOf('a', 10), { deadline, signal: UNATTENDED.signal });
    expect(inner.endsAtMs - time.nowMs()).toBe(17_000);
  });

  it('waits for a measurement no longer than the deadline of the write, and then sends none', async () => {
    const { inner, time, limited } = opened({ workspace: { secrets: 2 } });
    inner.measure = () => new Promise(() => undefined);
    const context = { deadline: deadlineIn(100, time), signal: UNATTENDED.signal };
    expect(await outcome(limited.create(SCOPE, secretOf('a', 10), context))).toBe('STORE_UNAVAILABLE');
    expect(inner.calls).toEqual([]);
  });

  it('waits for the writes of others no longer either, where a workspace has to be measured again', async () => {
    const { inner, limited, store, time } = opened({ workspace: { secrets: 2 } });
    for (const name of ['a', 'b']) await store.create(SCOPE, secretOf(name, 10));
    limited.writtenElsewhere(scopeKeyOf(SCOPE));
    inner.measure = async () => Promise.reject(new StoreUnavailable());
    await store.update(SCOPE, secretOf('b', 10));
    time.advance(1_000);
    let open: () => void = () => undefined;
    inner.gate = new Promise((resolve) => (open = resolve));
    const update = store.update(SCOPE, secretOf('b', 5));
    const context = { deadline: deadlineIn(20, time), signal: UNATTENDED.signal };
    expect(await outcome(limited.create(SCOPE, secretOf('c', 10), context))).toBe('STORE_UNAVAILABLE');
    open();
    await update;
  });

  it('counts a workspace once for its user that leaves the memory while it is measured', async () => {
    const { inner, limited, store } = opened({ user: { secrets: 3 } });
    await inner.create(SCOPE, secretOf('a', 10));
    await inner.create(SCOPE, secretOf('b', 10));
    const slow = { measured: (): void => undefined };
    const hangUp = new AbortController();
    const measure = inner.measure.bind(inner);
    inner.measure = async (scope) => {
      await new Promise<void>((resolve) => (slow.measured = resolve));
      return measure(scope);
    };
    const context = { deadline: UNATTENDED.deadline, signal: hangUp.signal };
    const gone = limited.create(SCOPE, secretOf('c', 10), context).catch(() => 'gone');
    await new Promise(setImmediate);
    hangUp.abort();
    expect(await gone).toBe('gone');
    Reflect.deleteProperty(inner, 'measure');
    const at = (i: number): SecretScope => ({ ...SCOPE, user: `user-${i % 2_500}`, workspace: `ws-${i}` });
    for (let i = 0; i < 5_000; i++) await store.create(at(i), secretOf('a', 10));
    slow.measured();
    await new Promise(setImmediate);
    expect(await outcome(store.create(SCOPE, secretOf('c', 10)))).toBe('done');
    expect(await refusal(store.create(SCOPE, secretOf('d', 10)))).toMatchObject({ used: 3 });
  });

  it('caches a bounded number of workspaces, and measures evicted ones again', async () => {
    const { inner, store, measurements } = opened({ workspace: { secrets: 1 }, user: { secrets: 10 } });
    const at = (i: number): SecretScope => ({ ...SCOPE, user: `user-${i % 600}`, workspace: `ws-${i}` });
    for (let i = 0; i < 5_001; i++) await store.create(at(i), secretOf('a', 10));
    inner.calls.length = 0;
    expect(await outcome(store.create(at(1), secretOf('b', 10)))).toBe('QUOTA_EXCEEDED');
    expect(measurements()).toBe(0);
    expect(await outcome(store.create(at(0), secretOf('b', 10)))).toBe('QUOTA_EXCEEDED');
    expect(measurements()).toBe(1);
    await store.create({ ...at(0), workspace: 'one more' }, secretOf('a', 10));
    expect(await refusal(store.create({ ...at(0), workspace: 'another' }, secretOf('a', 10)))).toMatchObject({
      limit: 'user_secrets',
      used: 10,
    });
  });
});
