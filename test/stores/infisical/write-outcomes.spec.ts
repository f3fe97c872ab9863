import type { StoreClient } from '../../support/store-client';
import { outcome } from '../../conformance/secret-store.conformance';
import type { Fault } from '../../support/fake-infisical/fake-faults';
import { FixedClock } from '../../support/fixed-clock';
import { at, openStore, routesOf, rowsOf, type Opened } from './opened-store';

interface Write {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  send(store: StoreClient): Promise<void>;
}

const WRITES: Readonly<Record<string, Write>> = {
  create: {
    method: 'POST',
    send: (store) => store.create(at(), { name: 'new', value: 'v' }),
  },
  update: {
    method: 'PATCH',
    send: (store) => store.update(at(), { name: 'old', value: 'w' }),
  },
  delete: {
    method: 'DELETE',
    send: (store) => store.delete(at(), 'old'),
  },
};

const failed = (when: 'before' | 'after'): Fault => ({
  kind: 'answer',
  when,
  status: 500,
  body: { statusCode: 500, message: 'Something went wrong', error: 'InternalServerError' },
});

it('a write waits for its turn under the rate limits undisturbed by a clock on the wall that is put forward', async () => {
  const clock = new FixedClock();
  const { fake, store, logged } = await openStore({ apiVersion: 'v3' }, {}, clock);
  await store.create(at(), { name: 'a', value: 'v' });
  const headers = { 'x-ratelimit-limit': '40', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1' };
  const body = { statusCode: 400, error: 'BadRequest', message: 'Secret already exist' };
  fake.fail({ method: 'POST', fault: { kind: 'answer', status: 400, body, headers } });
  await outcome(store.create(at(), { name: 'a', value: 'v' }));
  fake.fail({ method: 'POST', fault: { kind: 'delay', ms: 30 } });
  const waiting = outcome(store.create(at(), { name: 'k', value: 'v' }));
  await store.list(at());
  clock.advance(60_000);
  expect(await waiting).toBe('done');
  // Nor was its own time cut, so that it had to be looked for.
  expect(logged.filter(({ event }) => event === 'infisical_write_verified')).toEqual([]);
});

it('a write that was answered with nothing known is not sent again to the server that is found there then', async () => {
  const { fake, store } = await openStore({ apiVersion: 'v3' }, { apiVersion: undefined });
  await store.create(at(), { name: 'old', value: 'v' });
  await store.list(at());
  fake.calls.splice(0);
  fake.become('v4');
  const teapot = {
    kind: 'answer',
    status: 418,
    body: { statusCode: 418, error: 'x', message: 'y' },
  } as const;
  fake.fail({ method: 'PATCH', fault: teapot });
  expect(await outcome(store.update(at(), { name: 'old', value: 'w' }))).toBe('STORE_UNAVAILABLE');
  expect(fake.count('PATCH')).toBe(1);
  expect(rowsOf(fake, at())).toEqual([['old', 'v']]);
});

// v4 as its documents describe it.
describe.each(['v3', 'fork', 'v4'] as const)('writes of the Infisical store (%s)', (apiVersion) => {
  const routes = routesOf(apiVersion);
  describe.each(Object.entries(WRITES))('a %s whose answer is lost', (_name, write) => {
    let opened: Opened;
    beforeEach(async () => {
      opened = await openStore({ apiVersion });
      await opened.store.create(at(), { name: 'old', value: 'v' });
      await opened.store.list(at());
      opened.fake.calls.splice(0);
    });
    it('is unknown when the look fails too', async () => {
      const { fake, store } = opened;
      fake.fail({ method: write.method, template: routes.secret, fault: { kind: 'reset', when: 'after' } });
      const ended = outcome(write.send(store));
      while (fake.count(write.method, routes.secret) === 0)
        await new Promise((resolve) => setImmediate(resolve));
      fake.fail({ method: 'GET', template: routes.list, times: 99, fault: failed('before') });
      expect(await ended).toBe('STORE_OUTCOME_UNKNOWN');
    });

    it('is put before the approvers where there are any', async () => {
      const { fake, store } = opened;
      const body = { approval: { id: 'a', policyId: 'p' } };
      fake.fail({
        method: write.method,
        template: routes.secret,
        fault: { kind: 'answer', status: 200, body },
      });
      expect(await outcome(write.send(store))).toBe('APPROVAL_REQUIRED');
      expect(fake.count(write.method, routes.secret)).toBe(1);
    });
  });

  it.each(Object.entries(WRITES))(
    '%s is not said to be done by an answer about another secret',
    async (_name, write) => {
      const { fake, store } = await openStore({ apiVersion });
      await store.create(at(), { name: 'old', value: 'v' });
      await store.list(at());
      const secret = { id: 'x', secretKey: 'other', secretValue: 'v', version: 1 };
      const fault = { kind: 'answer', status: 200, body: { secret } } as const;
      fake.fail({ method: write.method, template: routes.secret, fault });
      expect(await outcome(write.send(store))).toBe('STORE_OUTCOME_UNKNOWN');
      expect(rowsOf(fake, at())).toEqual([['old', 'v']]);
    },
  );

  // docs/errors.md: "it may have happened".
  it.each([
    ['create', 'new', 1],
    ['update', 'old', 2],
  ] as const)(
    '%s that was answered with 500 is unknown where the server hides the value that tells',
    async (name, secretKey, version) => {
      const { fake, store, logged } = await openStore({ apiVersion });
      await store.create(at(), { name: 'old', value: 'v' });
      await store.list(at());
      const write = WRITES[name]!;
      fake.fail({ method: write.method, template: routes.secret, fault: failed('after') });
      const body = { secrets: [{ id: 'i', version, secretKey, secretValueHidden: true }] };
      fake.fail({ method: 'GET', template: routes.list, fault: { kind: 'answer', status: 200, body } });
      expect(await outcome(write.send(store))).toBe('STORE_OUTCOME_UNKNOWN');
      expect(logged).toContainEqual({
        event: 'infisical_write_verified',
        fields: { call: `${name}Secret`, reason: 'serverFailure', happened: 'unknown' },
      });
    },
  );

  describe('a create whose answer is lost, of a secret that was there before', () => {
    it.each([
      ['with another value', 'theirs', 1],
      ['with this value, written more than once', 'v', 2],
    ] as const)('is not said to have succeeded: %s', async (_title, value, version) => {
      const { fake, store } = await openStore({ apiVersion });
      await store.create(at(), { name: 'old', value: 'v' });
      const location = fake.world.projects[0]!.environments.find(({ slug }) => slug === 'prod')!;
      fake.world.addSecret(location, 'new', value, version);
      fake.fail({ method: 'POST', template: routes.secret, fault: { kind: 'reset', when: 'before' } });
      expect(await outcome(store.create(at(), { name: 'new', value: 'v' }))).toBe('STORE_OUTCOME_UNKNOWN');
    });
  });

  describe('a write beside other writers', () => {
    let opened: Opened;
    beforeEach(async () => {
      opened = await openStore({ apiVersion });
      await opened.store.create(at(), { name: 'old', value: 'v' });
      await opened.store.list(at());
    });
    const whileWriting = (act: () => void) => {
      const { fake } = opened;
      // The write is delayed, so that somebody else is faster.
      fake.fail({ method: 'POST', template: routes.secret, fault: { kind: 'delay', ms: 20 } });
      fake.fail({ method: 'PATCH', template: routes.secret, fault: { kind: 'delay', ms: 20 } });
      fake.fail({ method: 'DELETE', template: routes.secret, fault: { kind: 'delay', ms: 20 } });
      const before = fake.calls.length;
      void (async () => {
        while (fake.calls.length < before + 1) await new Promise((resolve) => setImmediate(resolve));
        act();
      })();
    };
    const location = () => opened.fake.world.projects[0]!.environments.find(({ slug }) => slug === 'prod')!;

    it('a create loses to one that was stored meanwhile', async () => {
      whileWriting(() => opened.fake.world.addSecret(location(), 'new', 'theirs'));
      expect(await outcome(opened.store.create(at(), { name: 'new', value: 'ours' }))).toBe(
        'SECRET_ALREADY_EXISTS',
      );
      expect(rowsOf(opened.fake, at())).toContainEqual(['new', 'theirs']);
    });

    it.each(['update', 'delete'] as const)(
      'an %s of what was deleted meanwhile finds nothing',
      async (name) => {
        whileWriting(() => location().secrets.splice(0));
        expect(await outcome(WRITES[name]!.send(opened.store))).toBe('SECRET_NOT_FOUND');
      },
    );

    it('an update of a project that was deleted meanwhile finds nothing', async () => {
      whileWriting(() => opened.fake.world.projects.splice(0));
      expect(await outcome(WRITES['update']!.send(opened.store))).toBe('SECRET_NOT_FOUND');
    });
  });

  describe('writes that arrive together in a workspace in use', () => {
    it('take turns in an environment, so that the server never stores a name twice', async () => {
      const { fake, store } = await openStore({ apiVersion });
      await store.create(at(), { name: 'first', value: 'v' });
      const creates = Array.from({ length: 50 }, (_, i) =>
        outcome(store.create(at(), { name: 'k', value: `v${i}` })),
      );
      const outcomes = await Promise.all(creates);
      expect(outcomes.filter((ended) => ended === 'done')).toHaveLength(1);
      expect(rowsOf(fake, at())).toEqual([
        ['first', 'v'],
        ['k', `v${outcomes.indexOf('done')}`],
      ]);
    });

    it('do not wait for those of another environment', async () => {
      const { fake, store } = await openStore({ apiVersion });
      await store.create(at(), { name: 'k', value: 'v' });
      fake.fail({ method: 'POST', template: routes.secret, fault: { kind: 'hang', when: 'before' } });
      void outcome(store.create(at(), { name: 'slow', value: 'v' }));
      await store.create(at('ws', 'dev'), { name: 'quick', value: 'v' });
      expect(rowsOf(fake, at('ws', 'dev'))).toEqual([['quick', 'v']]);
    });
  });

  it('writes whose turn under the rate limits is yet to come hold nobody up who writes otherwise', async () => {
    const { fake, store } = await openStore({ apiVersion });
    for (let i = 0; i < 6; i++) await store.create(at(`w${i}`), { name: 'k', value: 'v' });
    const headers = { 'x-ratelimit-limit': '40', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '2' };
    const body = { statusCode: 400, error: 'BadRequest', message: 'Secret already exist' };
    const fault = { kind: 'answer', status: 400, body, headers } as const;
    fake.fail({ method: 'POST', template: routes.secret, fault });
    await outcome(store.create(at('w0'), { name: 'k', value: 'v' }));
    let ended = 0;
    const waiting = [1, 2, 3, 4].map((i) =>
      store.create(at(`w${i}`), { name: 'other', value: 'v' }).then(() => (ended += 1)),
    );
    await store.delete(at('w5'), 'k');
    expect(ended).toBe(0);
    await Promise.all(waiting);
  });

  it('no more than four writes are on the wire at once', async () => {
    const { fake, store } = await openStore(
      { apiVersion },
      { requestTimeoutMs: 1_500, operationTimeoutMs: 8_000 },
    );
    for (let i = 0; i < 6; i++) await store.create(at(`w${i}`), { name: 'k', value: 'v' });
    fake.calls.splice(0);
    const hang: Fault = { kind: 'hang', when: 'before' };
    fake.fail({ method: 'DELETE', template: routes.secret, times: 4, fault: hang });
    const deletes = [0, 1, 2, 3, 4, 5].map((i) => outcome(store.delete(at(`w${i}`), 'k')));
    while (fake.count('DELETE', routes.secret) < 4) await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 5; i++) await store.retrieve(at('w5'), 'k');
    expect(fake.count('DELETE', routes.secret)).toBe(4);
    const unknown = 'STORE_OUTCOME_UNKNOWN';
    expect(await Promise.all(deletes)).toEqual([unknown, unknown, unknown, unknown, 'done', 'done']);
  });

  it('an update sees that a create in doubt was carried out after all, beside the one that was tried again', async () => {
    const clock = new FixedClock();
    const { fake, store } = await openStore({ apiVersion }, {}, clock);
    await store.create(at(), { name: 'a', value: 'v' });
    await store.list(at());
    fake.fail({ method: 'POST', template: routes.secret, fault: { kind: 'reset', when: 'before' } });
    expect(await outcome(store.create(at(), { name: 'k', value: 'v1' }))).toBe('STORE_OUTCOME_UNKNOWN');
    await store.create(at(), { name: 'k', value: 'v1' });
    await store.list(at());
    const location = fake.world.projects[0]!.environments.find(({ slug }) => slug === 'prod')!;
    fake.world.addSecret(location, 'k', 'v1');
    for (const [value, laterMs] of [
      ['v2', 0],
      ['v3', 119_000],
      ['v4', 2_000],
    ] as const) {
      // prettier-ignore
      clock.advance(laterMs);
      fake.calls.splice(0);
      await store.update(at(), { name: 'k', value });
      expect(fake.count('GET', routes.list)).toBeGreaterThan(0);
      expect((await store.retrieve(at(), 'k')).value).toBe(value);
    }
    // Others are written by one call as ever.
    fake.calls.splice(0);
    await store.update(at(), { name: 'a', value: 'w' });
    expect(fake.calls).toHaveLength(1);
  });

  describe('a name that the server stored more than once', () => {
    let opened: Opened;
    beforeEach(async () => {
      opened = await openStore({ apiVersion });
      const { fake, store } = opened;
      await store.create(at(), { name: 'single', value: 's' });
      const location = fake.world.projects[0]!.environments.find(({ slug }) => slug === 'prod')!;
      for (const [value, version] of [['v1', 1], ['v3', 3], ['v2', 2]] as const) fake.world.addSecret(location, 'twice', value, version); // prettier-ignore
      fake.calls.splice(0);
    });

    it('is served by its highest version, whatever the order of the list', async () => {
      const { store, logged } = opened;
      for (let i = 0; i < 10; i++) expect((await store.retrieve(at(), 'twice')).value).toBe('v3');
      expect(await store.list(at())).toEqual([
        { name: 'single', value: 's' },
        { name: 'twice', value: 'v3' },
      ]);
      expect(logged).toContainEqual({ event: 'infisical_duplicates_served', fields: { duplicates: 2 } });
    });

    const served = async () => {
      const values = new Set([(await opened.store.retrieve(at(), 'twice')).value]);
      for (let i = 0; i < 5; i++) values.add((await opened.another().retrieve(at(), 'twice')).value);
      for (const { name, value } of await opened.store.list(at())) if (name === 'twice') values.add(value);
      return [...values];
    };

    it('is served with the value of the next update from then on, by every reader, update after update', async () => {
      const { fake, store, logged } = opened;
      const repaired = () =>
        logged.filter(({ event }) => event === 'infisical_duplicates_repaired').map(({ fields }) => fields);
      await store.update(at(), { name: 'twice', value: 'zero' });
      expect(repaired()).toEqual([{ copies: 3, updates: fake.count('PATCH') }]);
      for (const value of ['one', 'two', 'three', 'four', 'five', 'six']) {
        await store.update(at(), { name: 'twice', value });
        expect(await served()).toEqual([value]);
      }
      expect(rowsOf(fake, at())).toHaveLength(4);
      expect(fake.count('DELETE') + fake.count('POST', routes.secret)).toBe(0);
    });

    it('is served with its new value also when it was a read that met it', async () => {
      const { store } = opened;
      await store.retrieve(at(), 'twice');
      await store.update(at(), { name: 'twice', value: 'one' });
      await store.update(at(), { name: 'single', value: 't' });
      expect(await served()).toEqual(['one']);
    });

    it.each([
      ['the first update is', 1],
      ['a later update is', 2],
    ])('keeps a value when %s refused', async (_title, nth) => {
      const { fake, store } = opened;
      const refused = { statusCode: 503, message: 'rolling restart', error: 'x' };
      const fault: Fault = { kind: 'answer', status: 503, body: refused };
      if (nth === 2) fake.fail({ method: 'PATCH', template: routes.secret, fault: { kind: 'delay', ms: 1 } });
      fake.fail({ method: 'PATCH', template: routes.secret, times: 99, fault });
      expect(await outcome(store.update(at(), { name: 'twice', value: 'one' }))).toBe(
        'STORE_OUTCOME_UNKNOWN',
      );
      fake.heal();
      expect(await served()).toEqual(['v3']);
      await store.update(at(), { name: 'twice', value: 'one' });
      expect(await served()).toEqual(['one']);
    });

    it('is not updated where no list can be had before', async () => {
      const { fake, store } = opened;
      fake.fail({ method: 'GET', template: routes.list, times: 99, fault: failed('before') });
      expect(await outcome(store.update(at(), { name: 'twice', value: 'one' }))).toBe('STORE_UNAVAILABLE');
      expect(fake.count('PATCH')).toBe(0);
    });

    it.each([
      ['every row but the one that is served', 'v3', 8],
      ['nothing', undefined, 8],
    ] as const)('is not said to be updated by a server that changes %s', async (_title, kept, updates) => {
      const { fake, store, logged } = opened;
      const location = fake.world.projects[0]!.environments.find(({ slug }) => slug === 'prod')!;
      location.secrets.find(({ value }) => value === 'v3')!.version = kept === undefined ? 3 : 100;
      const secret = { id: 'x', secretKey: 'twice', secretValue: 'one', version: 9 };
      if (kept === undefined)
        fake.fail({
          method: 'PATCH',
          template: routes.secret,
          times: 99,
          fault: { kind: 'answer', status: 200, body: { secret } },
        });
      else {
        // As a database that always finds the same row first.
        const first = location.secrets.find(({ value }) => value === 'v1')!;
        const rows = location.secrets;
        rows.push = (...pushed) => rows.unshift(...pushed);
        rows.splice(rows.indexOf(first), 1);
        rows.unshift(first);
      }
      expect(await outcome(store.update(at(), { name: 'twice', value: 'one' }))).toBe(
        'STORE_OUTCOME_UNKNOWN',
      );
      expect(fake.count('PATCH')).toBe(updates);
      expect(await served()).toEqual(['v3']);
      expect(logged).toContainEqual({ event: 'infisical_duplicates_not_repaired', fields: { updates } });
    });

    it('exists, so that a create is refused, and a delete takes all of it', async () => {
      expect(await outcome(opened.store.create(at(), { name: 'twice', value: 'x' }))).toBe(
        'SECRET_ALREADY_EXISTS',
      );
      await opened.store.delete(at(), 'twice');
      expect(rowsOf(opened.fake, at())).toEqual([['single', 's']]);
    });
  });
});
