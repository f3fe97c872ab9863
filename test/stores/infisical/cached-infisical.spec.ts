import { StoreClient } from '../../support/store-client';
import { CachedSecretStore } from '../../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../../src/stores/cached/invalidation-bus';
import { SystemClock } from '../../../src/time/clock';
import { UNATTENDED } from '../../../src/secrets/secret';
import type { ScopeSource, CompleteSecretStore } from '../../../src/secrets/secret-store';
import { createInfisicalSecretStore } from '../../support/infisical-store';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { describeSecretStore, outcome } from '../../conformance/secret-store.conformance';
import { FakeInfisical } from '../../support/fake-infisical/fake-infisical';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { at, callsOf, openStore, routesOf } from './opened-store';

const OPTIONS = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 1_000, maxBytes: 64 * 1024 * 1024 };

function cached(
  inner: CompleteSecretStore & ScopeSource,
  time = new FixedMonotonicTime(),
): CachedSecretStore {
  return new CachedSecretStore(inner, OPTIONS, { time, invalidationBus: new NoInvalidationBus() });
}

describe.each(['fork', 'v3', 'v4'] as const)('the cache in front of Infisical (%s)', (apiVersion) => {
  async function warm() {
    const { fake, store: inner } = await openStore({ apiVersion });
    const time = new FixedMonotonicTime();
    const store = new StoreClient(cached(inner.store, time));
    await store.create(at(), { name: 'k', value: 'v' });
    await store.retrieve(at(), 'k');
    callsOf(fake);
    return { fake, store, time };
  }

  it('makes no call for a warm read, one for a cold one, one for a hundred at once', async () => {
    const { fake, store, time } = await warm();
    for (let n = 0; n < 20; n += 1) await store.retrieve(at(), 'k');
    await store.list(at());
    await outcome(store.retrieve(at(), 'absent'));
    expect(callsOf(fake)).toEqual([]);
    time.advance(5_001);
    await store.retrieve(at(), 'k');
    expect(callsOf(fake)).toEqual([`GET ${routesOf(apiVersion).list}`]);
    time.advance(5_001);
    await Promise.all(Array.from({ length: 100 }, () => store.retrieve(at(), 'k')));
    expect(callsOf(fake)).toEqual([`GET ${routesOf(apiVersion).list}`]);
  });

  it('asks only whether anything has changed, and takes the answer no', async () => {
    const { fake, store, time } = await warm();
    const statuses: number[] = [];
    const ask = async (): Promise<string> => {
      const { value } = await store.retrieve(at(), 'k');
      statuses.push(...fake.calls.splice(0).map(({ status }) => status));
      return value;
    };
    for (let n = 0; n < 3; n += 1) {
      time.advance(5_001);
      expect(await ask()).toBe('v');
    }
    expect(statuses).toEqual([304, 304, 304]);
    const [location] = fake.project(projectSlug(at()))!.environments.filter(({ slug }) => slug === 'prod');
    fake.world.addSecret(location!, 'by-hand', 'w');
    time.advance(5_001);
    expect(await ask()).toBe('v');
    expect((await store.retrieve(at(), 'by-hand')).value).toBe('w');
    await store.update(at(), { name: 'k', value: 'new' });
    fake.calls.splice(0);
    expect(await ask()).toBe('new');
    expect(statuses.slice(3)).toEqual([200, 200]);
  });

  it('serves what it read while the server is gone, and is ready', async () => {
    const { fake, store, time } = await warm();
    await fake.goDown();
    time.advance(6_000);
    expect(await store.store.retrieve(at(), 'k', UNATTENDED)).toEqual({
      secret: { name: 'k', value: 'v' },
      staleForMs: 6_000,
    });
    expect(await outcome(store.ping())).toBe('done');
    expect(await outcome(store.update(at(), { name: 'k', value: 'w' }))).toBe('STORE_UNAVAILABLE');
    expect((await store.retrieve(at(), 'k')).value).toBe('v');
  });

  it('serves what a list held while the server is gone, with our write in it, also where names are read one by one', async () => {
    const { fake, store, time } = await warm();
    const value = 'x'.repeat(250_000);
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await store.create(at(), { name, value });
    await store.list(at());
    for (let n = 0; n < 2; n += 1) {
      time.advance(6_000);
      await store.retrieve(at(), 'a');
    }
    await store.update(at(), { name: 'k', value: 'w' });
    await fake.goDown();
    const lengths = [];
    for (const name of ['a', 'b', 'k']) lengths.push((await store.retrieve(at(), name)).value.length);
    expect(lengths).toEqual([250_000, 250_000, 1]);
    expect((await store.list(at())).at(-1)).toEqual({ name: 'k', value: 'w' });
  });

  it('serves nothing of a project that we may not read any more, nor of one that is gone', async () => {
    for (const act of ['shut out', 'delete'] as const) {
      const { fake, store, time } = await warm();
      if (act === 'delete') fake.world.deleteProject(projectSlug(at()));
      else fake.project(projectSlug(at()))?.members.clear();
      time.advance(6_000);
      const ended = act === 'delete' ? 'SECRET_NOT_FOUND' : 'STORE_UNAVAILABLE';
      expect(await outcome(store.retrieve(at(), 'k'))).toBe(ended);
      await fake.goDown();
      expect(await outcome(store.retrieve(at(), 'k'))).not.toBe('done');
    }
  });

  it('returns the preferred one of duplicate rows', async () => {
    const { fake, store, time } = await warm();
    const secrets = fake
      .project(projectSlug(at()))
      ?.environments.find(({ slug }) => slug === 'prod')?.secrets;
    const [row] = secrets ?? [];
    secrets?.unshift({ ...row!, id: 'newer', value: 'newer', version: row!.version + 1 });
    secrets?.push({ ...row!, id: 'older', value: 'older' });
    time.advance(6_000);
    expect((await store.retrieve(at(), 'k')).value).toBe('newer');
    expect(await store.list(at())).toEqual([{ name: 'k', value: 'newer' }]);
  });

  describeSecretStore(`the cache before ${apiVersion}`, {
    open: async () => {
      const fake = await FakeInfisical.start({ apiVersion });
      const { clientId, clientSecret } = fake.identity;
      const options = { url: fake.url, clientId, clientSecret };
      const store = cached(createInfisicalSecretStore(options, new SystemClock()));
      return {
        store,
        dispose: async () => {
          await store.close();
          await fake.close();
        },
      };
    },
  });
});
