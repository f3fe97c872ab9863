import { outcome } from '../../conformance/secret-store.conformance';
import { UNATTENDED } from '../../../src/secrets/secret';
import type { ScopeContents } from '../../../src/secrets/secret-store';
import { CachedSecretStore } from '../../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../../src/stores/cached/invalidation-bus';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { eventually } from '../../support/eventually';
import { StoreClient } from '../../support/store-client';
import type { Fault } from '../../support/fake-infisical/fake-faults';
import { projectSlug } from '../../../src/stores/infisical/projects/project-slug';
import { FixedClock } from '../../support/fixed-clock';
import { SystemMonotonicTime, deadlineIn } from '../../../src/time/clock';
import { at, callsOf, openStore, routesOf, rowsOf, type Choices, type Opened } from './opened-store';

const MINUTES_MS = 60_000;

/** A workspace in use, whose prod environment holds this many bytes beside the secret `k`. */
async function openRoom(
  apiVersion: 'v3' | 'v4' | 'fork',
  { bytes, options = {}, clock = new FixedClock() }: { bytes: number; options?: Choices; clock?: FixedClock },
) {
  const opened = await openStore({ apiVersion }, options, clock);
  await opened.store.create(at(), { name: 'k', value: 'v' });
  const location = opened.fake
    .project(projectSlug(at()))!
    .environments.find(({ slug }) => slug === at().environment)!;
  for (let left = bytes, i = 0; left > 0; left -= 100_000, i++)
    opened.fake.world.addSecret(location, `filler-${i}`, 'x'.repeat(Math.min(left, 100_000)));
  opened.fake.calls.splice(0);
  return { ...opened, location, clock };
}

/** A store that has met the huge environment by one list. */
async function openHuge(apiVersion: 'v3' | 'v4', options: Choices = {}) {
  const opened = await openRoom(apiVersion, { bytes: 1_100_000, options });
  await opened.store.retrieve(at(), 'k');
  opened.fake.calls.splice(0);
  return opened;
}

const retrieve = ({ store }: Opened, name = 'k') => outcome(store.retrieve(at(), name));

// v4 as its documents describe it.
describe.each(['v3', 'v4'] as const)('a scope whose list is larger than 1 MiB (%s)', (apiVersion) => {
  const routes = routesOf(apiVersion);
  const LIST = `GET ${routes.list}`;
  const BY_NAME = `GET ${routes.secret}`;

  it('is listed once, and from then on each retrieve is one look by name', async () => {
    const opened = await openRoom(apiVersion, { bytes: 1_100_000 });
    const { fake, store } = opened;
    expect(await store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'v' });
    expect(callsOf(fake)).toEqual([LIST]);
    expect(await store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'v' });
    expect(await retrieve(opened, 'absent')).toBe('SECRET_NOT_FOUND');
    expect(callsOf(fake)).toEqual([BY_NAME, BY_NAME]);
  });

  it('leaves each write and each list one call', async () => {
    const { fake, store } = await openHuge(apiVersion);
    await store.update(at(), { name: 'k', value: 'w' });
    await store.create(at(), { name: 'l', value: 'w' });
    await store.delete(at(), 'k');
    await store.list(at());
    const secret = routes.secret;
    expect(callsOf(fake)).toEqual([`PATCH ${secret}`, `POST ${secret}`, `DELETE ${secret}`, LIST]);
  });

  it('a smaller one is always listed', async () => {
    const { fake, store } = await openRoom(apiVersion, { bytes: 900_000 });
    for (let i = 0; i < 3; i++) await store.retrieve(at(), 'k');
    expect(callsOf(fake)).toEqual([LIST, LIST, LIST]);
  });

  it('sends every flag with a look by name', async () => {
    const { fake, store } = await openHuge(apiVersion);
    await store.retrieve(at(), 'k');
    const { searchParams } = new URL(fake.calls[0]?.target ?? '', 'http://x');
    expect(Object.fromEntries(searchParams)).toEqual({
      [apiVersion === 'v4' ? 'projectId' : 'workspaceId']: fake.world.projects[0]?.id,
      environment: 'prod',
      type: 'shared',
      secretPath: '/',
      expandSecretReferences: 'false',
      includeImports: 'false',
      include_imports: 'false',
      recursive: 'false',
      viewSecretValue: 'true',
    });
  });

  it('is listed again after ten minutes, by one of many callers, and for good once it shrank', async () => {
    const opened = await openHuge(apiVersion);
    const { fake, clock, location } = opened;
    clock.advance(10 * MINUTES_MS);
    await Promise.all(Array.from({ length: 10 }, () => retrieve(opened)));
    expect(callsOf(fake).sort()).toEqual([LIST, ...Array<string>(9).fill(BY_NAME)]);
    location.secrets.splice(1);
    await retrieve(opened);
    expect(callsOf(fake)).toEqual([BY_NAME]);
    clock.advance(10 * MINUTES_MS);
    await retrieve(opened);
    await retrieve(opened);
    expect(callsOf(fake)).toEqual([LIST, LIST]);
  });

  it('is known to have shrunk as soon as anything lists it', async () => {
    const opened = await openHuge(apiVersion);
    opened.location.secrets.splice(1);
    await opened.store.list(at());
    await retrieve(opened);
    expect(callsOf(opened.fake)).toEqual([LIST, LIST]);
  });

  it.each([
    ['hidden', { secretValue: 'x', secretValueHidden: true }],
    ['hidden and left out', { secretValueHidden: true }],
    ['masked', { secretValue: '******' }],
    ['hidden in words', { secretValue: '<hidden-by-infisical>' }],
    ['of another name', { secretValue: 'v', secretKey: 'K' }],
  ])('never gives a value that is %s for a secret', async (_title, more) => {
    const opened = await openHuge(apiVersion);
    const body = { secret: { id: 'i', version: 1, secretKey: 'k', ...more } };
    opened.fake.fail({
      method: 'GET',
      template: routes.secret,
      fault: { kind: 'answer', status: 200, body },
    });
    expect(await retrieve(opened)).toBe('STORE_UNAVAILABLE');
  });

  it('serves a name that is stored more than once from the list, always the same row', async () => {
    const opened = await openRoom(apiVersion, { bytes: 1_100_000 });
    const { fake, store, location } = opened;
    for (const [value, version] of [['v1', 1], ['v3', 3], ['v2', 2]] as const) fake.world.addSecret(location, 'twice', value, version); // prettier-ignore
    for (let i = 0; i < 3; i++) expect((await store.retrieve(at(), 'twice')).value).toBe('v3');
    expect(callsOf(fake)).toEqual([LIST, LIST, LIST]);
    await store.update(at(), { name: 'twice', value: 'one' });
    for (let i = 0; i < 3; i++) expect((await store.retrieve(at(), 'twice')).value).toBe('one');
    await store.delete(at(), 'twice');
    await store.create(at(), { name: 'twice', value: 'once' });
    callsOf(fake);
    expect((await store.retrieve(at(), 'twice')).value).toBe('once');
    expect(callsOf(fake)).toEqual([BY_NAME]);
  });

  it('is gone with its project, and comes again with the next create', async () => {
    const opened = await openHuge(apiVersion);
    opened.fake.world.deleteProject(projectSlug(at()));
    expect(await retrieve(opened)).toBe('SECRET_NOT_FOUND');
    await opened.store.create(at(), { name: 'k', value: 'again' });
    expect(await opened.store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'again' });
  });

  it('is empty when its environment was deleted, and small when that comes again', async () => {
    const opened = await openHuge(apiVersion);
    opened.fake.world.deleteEnvironment(projectSlug(at()), 'prod');
    expect(await retrieve(opened)).toBe('SECRET_NOT_FOUND');
    await opened.store.create(at(), { name: 'k', value: 'again' });
    callsOf(opened.fake);
    expect(await opened.store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'again' });
    expect(callsOf(opened.fake)).toEqual([LIST]);
  });

  it('a write whose answer is lost is looked for by name', async () => {
    const { fake, store } = await openHuge(apiVersion);
    fake.fail({ method: 'POST', template: routes.secret, fault: { kind: 'reset', when: 'after' } });
    await store.create(at(), { name: 'new', value: 'v' });
    expect(callsOf(fake)).toEqual([`POST ${routes.secret}`, BY_NAME]);
  });

  // docs/infisical.md: "from two lists in a row that do not come in time".
  const never: Fault = { kind: 'hang', when: 'before' };
  const openSlow = async (times: number, options: Choices = {}) => {
    const opened = await openRoom(apiVersion, { bytes: 0, options: { requestTimeoutMs: 500, ...options } });
    opened.fake.fail({ method: 'GET', template: routes.list, times, fault: never });
    return opened;
  };

  it('is read by name when two lists of it in a row do not come in time, and before that fails once', async () => {
    const opened = await openSlow(99);
    expect(await retrieve(opened)).toBe('STORE_UNAVAILABLE');
    expect(await retrieve(opened)).toBe('done');
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST, LIST, BY_NAME, BY_NAME]);
    opened.clock.advance(10 * MINUTES_MS);
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST, BY_NAME]);
  });

  // docs/infisical.md: "each update waits for one".
  it('is updated after one more list that does not come in time, as if each name were stored once', async () => {
    const opened = await openSlow(99);
    expect([await retrieve(opened), await retrieve(opened)]).toEqual(['STORE_UNAVAILABLE', 'done']);
    opened.fake.calls.splice(0);
    for (const value of ['w', 'x']) await opened.store.update(at(), { name: 'k', value });
    const update = [LIST, `PATCH ${routes.secret}`];
    expect(callsOf(opened.fake)).toEqual([...update, ...update]);
    expect((await opened.store.retrieve(at(), 'k')).value).toBe('x');
  });

  it('a small one is listed as ever after a stall, of however many lists at once', async () => {
    const opened = await openSlow(3);
    const stalled = await Promise.all([1, 2, 3].map(() => retrieve(opened)));
    expect(stalled).toEqual(Array(3).fill('STORE_UNAVAILABLE'));
    opened.fake.calls.splice(0);
    for (let i = 0; i < 3; i++) expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST, LIST, LIST]);
  });

  // docs/infisical.md: "if a read by name does not come in time either, they do not count".
  it('a small one is listed as ever after a stall of everything, however many lists in a row it lasts', async () => {
    const opened = await openSlow(0);
    opened.fake.fail({ method: 'GET', times: 99, fault: never });
    for (let i = 0; i < 3; i++) expect(await retrieve(opened)).toBe('STORE_UNAVAILABLE');
    opened.fake.heal();
    opened.fake.calls.splice(0);
    expect([await retrieve(opened), await retrieve(opened)]).toEqual(['done', 'done']);
    expect(callsOf(opened.fake)).toEqual([LIST, LIST]);
  });

  it('a stall that began while it was read by name ends that', async () => {
    const opened = await openSlow(2);
    expect([await retrieve(opened), await retrieve(opened)]).toEqual(['STORE_UNAVAILABLE', 'done']);
    opened.fake.fail({ method: 'GET', template: routes.secret, fault: never });
    expect(await retrieve(opened)).toBe('STORE_UNAVAILABLE');
    opened.fake.calls.splice(0);
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST]);
  });

  it('a read by name that is cut off with the time of its caller does not end that', async () => {
    const opened = await openSlow(99, { requestTimeoutMs: 1_000, operationTimeoutMs: 6_000 });
    expect([await retrieve(opened), await retrieve(opened)]).toEqual(['STORE_UNAVAILABLE', 'done']);
    opened.fake.fail({ method: 'GET', template: routes.secret, fault: never });
    opened.fake.calls.splice(0);
    const context = { ...UNATTENDED, deadline: deadlineIn(600, new SystemMonotonicTime()) };
    expect(await outcome(opened.store.store.retrieve(at(), 'k', context))).toBe('STORE_UNAVAILABLE');
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([BY_NAME, BY_NAME]);
  });

  it('behind the cache, one list answers all its names after a stall', async () => {
    const opened = await openSlow(1);
    const bounds = { ttlMs: 60_000, maxStaleMs: 60_000, maxEntries: 10, maxBytes: 1 << 20 };
    const around = { time: new FixedMonotonicTime(), invalidationBus: new NoInvalidationBus() };
    const cached = new StoreClient(new CachedSecretStore(opened.store.store, bounds, around));
    for (let i = 0; i < 20; i++) opened.fake.world.addSecret(opened.location, `small-${i}`, 'v');
    expect(await outcome(cached.retrieve(at(), 'small-0'))).toBe('STORE_UNAVAILABLE');
    for (let i = 0; i < 20; i++) await cached.retrieve(at(), `small-${i}`);
    expect(callsOf(opened.fake)).toEqual([LIST, LIST]);
  });

  it('a list that does not come in time does not count where another one came meanwhile', async () => {
    const opened = await openSlow(2, { requestTimeoutMs: 1_000 });
    expect(await retrieve(opened)).toBe('STORE_UNAVAILABLE');
    const second = retrieve(opened);
    await eventually(() => expect(opened.fake.count('GET', routes.list)).toBe(2));
    await opened.store.list(at());
    expect(await second).toBe('STORE_UNAVAILABLE');
    opened.fake.calls.splice(0);
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST]);
  });

  it('a list that is cut off with the time of its caller does not count', async () => {
    const opened = await openSlow(3, { requestTimeoutMs: 8_000, operationTimeoutMs: 6_000 });
    for (let i = 0; i < 3; i++) {
      const context = { ...UNATTENDED, deadline: deadlineIn(600, new SystemMonotonicTime()) };
      expect(await outcome(opened.store.store.retrieve(at(), 'k', context))).toBe('STORE_UNAVAILABLE');
    }
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST, LIST, LIST, LIST]);
  });

  // docs/infisical.md: "a list, or a read by name, that had less than nine tenths of the time of others does not count".
  const BEGAN_LATE =
    'a list that began late, as it waited for a login, and is cut off with the time of its caller does not count (of %i ms)';
  it.each([6_000, 1_600])(BEGAN_LATE, async (operationTimeoutMs) => {
    const opened = await openSlow(0, { requestTimeoutMs: 1_500, operationTimeoutMs });
    for (let i = 0; i < 2; i++) {
      // The first list is refused for its token, the second one hangs.
      opened.fake.killTokens('unknown');
      for (const fault of [{ kind: 'delay', ms: 0 }, never] as const)
        opened.fake.fail({ method: 'GET', template: routes.list, fault });
      opened.fake.fail({ method: 'POST', template: routes.login, fault: { kind: 'delay', ms: 1_200 } });
      const context = { ...UNATTENDED, deadline: deadlineIn(2_000, new SystemMonotonicTime()) };
      expect(await outcome(opened.store.store.retrieve(at(), 'k', context))).toBe('STORE_UNAVAILABLE');
      // On a slow machine no time was left to meet them all.
      opened.fake.heal();
    }
    opened.fake.calls.splice(0);
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST]);
  });

  it('lists that are given the whole time of an operation, as it is shorter than that of a request, count', async () => {
    const opened = await openSlow(99, { requestTimeoutMs: 8_000, operationTimeoutMs: 1_500 });
    // No time is left to read it by name after the second one.
    for (let i = 0; i < 2; i++) expect(await retrieve(opened)).toBe('STORE_UNAVAILABLE');
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST, LIST, BY_NAME]);
  });

  it('a list that comes again unchanged ends the reads by name of a small one', async () => {
    const opened = await openSlow(0);
    const revision = await opened.store.store.readScope(at(), 'k', undefined, UNATTENDED);
    opened.fake.fail({ method: 'GET', template: routes.list, times: 2, fault: never });
    expect([await retrieve(opened), await retrieve(opened)]).toEqual(['STORE_UNAVAILABLE', 'done']);
    opened.clock.advance(10 * MINUTES_MS);
    const { revision: known } = revision as ScopeContents;
    expect(await opened.store.store.readScope(at(), 'k', known, UNATTENDED)).toBe('unchanged');
    opened.fake.calls.splice(0);
    expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([LIST]);
  });

  it('an update lists duplicate rows although the last list did not come in time', async () => {
    const opened = await openRoom(apiVersion, { bytes: 0, options: { requestTimeoutMs: 500 } });
    const { fake, store, location } = opened;
    for (const version of [1, 2]) fake.world.addSecret(location, 'twice', 'v', version);
    fake.fail({ method: 'GET', template: routes.list, fault: { kind: 'hang', when: 'before' } });
    expect(await retrieve(opened)).toBe('STORE_UNAVAILABLE');
    await store.update(at(), { name: 'twice', value: 'one' });
    expect(rowsOf(fake, at())).toHaveLength(3);
    expect((await store.retrieve(at(), 'twice')).value).toBe('one');
  });

  it('a name that is known to have duplicate rows is neither read nor updated while lists do not come in time', async () => {
    const opened = await openRoom(apiVersion, { bytes: 0, options: { requestTimeoutMs: 500 } });
    const { fake, store, location } = opened;
    fake.world.addSecret(location, 'k', 'v');
    await store.list(at());
    fake.fail({ method: 'GET', template: routes.list, times: 3, fault: { kind: 'hang', when: 'before' } });
    expect([await retrieve(opened), await retrieve(opened)]).toEqual(Array(2).fill('STORE_UNAVAILABLE'));
    expect(await outcome(store.update(at(), { name: 'k', value: 'new' }))).toBe('STORE_UNAVAILABLE');
    expect(fake.count('PATCH')).toBe(0);
    await store.update(at(), { name: 'k', value: 'new' });
    expect((await store.retrieve(at(), 'k')).value).toBe('new');
  });

  describe('and larger than any answer that is taken', () => {
    const open = () => openRoom(apiVersion, { bytes: 200_000, options: { maxAnswerBytes: 120_000 } });

    it('is read by name, after one list that was cut', async () => {
      const opened = await open();
      expect(await retrieve(opened)).toBe('done');
      expect(callsOf(opened.fake)).toEqual([LIST, BY_NAME]);
      expect(await retrieve(opened)).toBe('done');
      expect(await retrieve(opened, 'filler-1')).toBe('done');
      expect(await retrieve(opened, 'absent')).toBe('SECRET_NOT_FOUND');
      expect(callsOf(opened.fake)).toEqual([BY_NAME, BY_NAME, BY_NAME]);
    });

    it('is written as ever, and updated after one list that was cut', async () => {
      const { fake, store } = await open();
      await store.update(at(), { name: 'k', value: 'w' });
      expect(callsOf(fake)).toEqual([LIST, `PATCH ${routes.secret}`]);
      await store.update(at(), { name: 'k', value: 'x' });
      await store.create(at(), { name: 'l', value: 'y' });
      await store.delete(at(), 'filler-0');
      expect(await outcome(store.update(at(), { name: 'absent', value: 'x' }))).toBe('SECRET_NOT_FOUND');
      expect(fake.count('GET')).toBe(0);
      expect(await store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'x' });
    });

    it('returns no row of a name that is known to have duplicate rows, and does not update it, until a delete took all', async () => {
      const opened = await openRoom(apiVersion, { bytes: 0, options: { maxAnswerBytes: 120_000 } });
      const { fake, store, location } = opened;
      fake.world.addSecret(location, 'k', 'newer', 2);
      expect((await store.retrieve(at(), 'k')).value).toBe('newer');
      for (const name of ['filler', 'other']) fake.world.addSecret(location, name, 'x'.repeat(100_000));
      for (let i = 0; i < 2; i++)
        await expect(store.retrieve(at(), 'k')).rejects.toMatchObject({
          reason: 'LIST_TOO_LARGE',
        });
      expect(await retrieve(opened, 'filler')).toBe('done');
      expect(await outcome(store.update(at(), { name: 'k', value: 'x' }))).toBe('LIST_TOO_LARGE');
      expect(fake.count('PATCH')).toBe(0);
      await store.delete(at(), 'k');
      await store.create(at(), { name: 'k', value: 'newest' });
      expect((await store.retrieve(at(), 'k')).value).toBe('newest');
      expect(location.secrets.filter(({ key }) => key === 'k')).toHaveLength(1);
    });

    it('is not listed, and the failure says why', async () => {
      const { store } = await open();
      await expect(store.list(at())).rejects.toMatchObject({
        reason: 'LIST_TOO_LARGE',
        message:
          'The secrets of this workspace and environment are too large for one list; retrieve them by name, or delete some.',
      });
    });
  });
});

describe('a scope whose list is larger than 1 MiB on the server that Olares ships', () => {
  const routes = routesOf('fork');

  it('is always listed, for a look by name costs ten times as much there', async () => {
    const { fake, store } = await openRoom('fork', { bytes: 1_100_000 });
    for (let i = 0; i < 3; i++) await store.retrieve(at(), 'k');
    expect(callsOf(fake)).toEqual(Array<string>(3).fill(`GET ${routes.list}`));
  });

  it('is read by name all the same when it is larger than any answer that is taken, and written', async () => {
    const opened = await openRoom('fork', { bytes: 200_000, options: { maxAnswerBytes: 120_000 } });
    for (let i = 0; i < 2; i++) expect(await retrieve(opened)).toBe('done');
    expect(callsOf(opened.fake)).toEqual([
      `GET ${routes.list}`,
      `GET ${routes.secret}`,
      `GET ${routes.secret}`,
    ]);
    expect(await outcome(opened.store.list(at()))).toBe('LIST_TOO_LARGE');
    await opened.store.update(at(), { name: 'k', value: 'w' });
    await opened.store.delete(at(), 'filler-0');
    expect(await opened.store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'w' });
  });
});

// docs/infisical.md: "it goes by the last list of that environment that anything here has read".
describe.each(['fork', 'v3', 'v4'] as const)(
  'an update after lists that did not come in time (%s)',
  (apiVersion) => {
    const { list, secret } = routesOf(apiVersion);

    it.each([
      ['before any came', false],
      ['after one that came', true],
    ])('lists the environment, so that it sees rows that were added: %s', async (_title, hasListed) => {
      const opened = await openRoom(apiVersion, { bytes: 0, options: { requestTimeoutMs: 400 } });
      const { fake, store, location } = opened;
      if (hasListed) await store.list(at());
      fake.fail({ method: 'GET', template: list, times: 2, fault: { kind: 'hang', when: 'before' } });
      await retrieve(opened);
      await retrieve(opened);
      // An update changes the first row, and the last one is served.
      fake.world.addSecret(location, 'k', 'theirs', 9);
      fake.calls.splice(0);
      await store.update(at(), { name: 'k', value: 'new' });
      expect(callsOf(fake).slice(0, 2)).toEqual([`GET ${list}`, `PATCH ${secret}`]);
      expect((await store.retrieve(at(), 'k')).value).toBe('new');
    });
  },
);
