import { outcome } from '../../conformance/secret-store.conformance';
import { fixed } from '../../../src/reloadable/reloadable';
import { eventually } from '../../support/eventually';
import { FixedClock } from '../../support/fixed-clock';
import { at, openStore, routesOf, type Opened } from './opened-store';

const TTL_SECONDS = 1000;

// v4 as its documents describe it.
describe.each(['v3', 'fork', 'v4'] as const)('the session of the Infisical store (%s)', (apiVersion) => {
  const routes = routesOf(apiVersion);
  let clock: FixedClock;
  let opened: Opened;
  const logins = () => opened.fake.calls.filter(({ template }) => template === routes.login);
  const advanceTo = (share: number) => clock.advance(share * TTL_SECONDS * 1000);
  beforeEach(async () => {
    clock = new FixedClock();
    opened = await openStore({ apiVersion, tokenTtlSeconds: TTL_SECONDS }, {}, clock);
  });

  it('opens no connection before it is used', () => {
    expect(opened.fake.calls).toEqual([]);
  });

  it('is one login for 50 concurrent calls', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, i) => opened.store.list(at(`ws${i}`))));
    expect(logins()).toHaveLength(1);
  });

  it('is renewed at 80 % of its life, by one login for all, without the old bearer', async () => {
    await opened.store.list(at());
    advanceTo(0.77);
    await opened.store.list(at());
    expect(logins()).toHaveLength(1);
    advanceTo(0.06);
    await Promise.all(Array.from({ length: 20 }, () => opened.store.list(at())));
    expect(logins()).toHaveLength(2);
    expect(logins().map(({ bearer }) => bearer)).toEqual([false, false]);
  });

  it('is not renewed by all instances at one moment', async () => {
    const instances = Array.from({ length: 20 }, () => opened.another());
    const listAll = () => Promise.all(instances.map((instance) => instance.list(at())));
    await listAll();
    expect(logins()).toHaveLength(20);
    advanceTo(0.8);
    await listAll();
    expect(logins().length).toBeGreaterThan(20);
    expect(logins().length).toBeLessThan(40);
  });

  it.each([0, -1])(
    'that is said to live %d seconds has no end, and is looked at again each hour',
    async (life) => {
      const { fake, store } = opened;
      fake.tokenTtlSeconds = life;
      for (let i = 0; i < 5; i++) await store.list(at());
      clock.advance(0.77 * 3_600_000);
      await store.list(at());
      expect(logins()).toHaveLength(1);
      clock.advance(0.06 * 3_600_000);
      await store.list(at());
      expect(logins()).toHaveLength(2);
    },
  );

  it('goes on with the old token while a renewal fails, and tries again a little later', async () => {
    const { fake, store } = opened;
    await store.list(at());
    fake.fail({
      template: routes.login,
      times: 99,
      fault: { kind: 'answer', status: 500, body: { error: 'Find one' } },
    });
    advanceTo(0.85);
    await store.list(at());
    await store.list(at());
    expect(logins()).toHaveLength(2);
    fake.heal();
    clock.advance(30_000);
    await store.list(at());
    expect(logins()).toHaveLength(3);
  });

  it('is used while its renewal hangs, and is not waited for', async () => {
    const { fake, another } = opened;
    const store = another({ operationTimeoutMs: 2_000, requestTimeoutMs: 1_500 });
    await store.list(at());
    fake.fail({ template: routes.login, times: 99, fault: { kind: 'hang', when: 'before' } });
    advanceTo(0.85);
    const started = performance.now();
    expect([await outcome(store.list(at())), await outcome(store.list(at()))]).toEqual(['done', 'done']);
    expect(performance.now() - started).toBeLessThan(1_000);
    await eventually(() => expect(logins()).toHaveLength(2));
  });

  it('has no token left once a renewal failed to the end of its life', async () => {
    const { fake, store } = opened;
    await store.list(at());
    fake.fail({
      template: routes.login,
      times: 99,
      fault: { kind: 'answer', status: 500, body: { error: 'Find one' } },
    });
    advanceTo(1.01);
    expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
  });

  it.each(['expired', 'unknown', 'malformed', 'badSignature', 'usesUp'] as const)(
    'a dead token (%s) is replaced by one login and each call is sent once more',
    async (fault) => {
      const { fake, store } = opened;
      await store.create(at(), { name: 'k', value: 'v' });
      fake.killTokens(fault);
      const reads = Array.from({ length: 10 }, () => store.retrieve(at(), 'k'));
      const write = store.update(at(), { name: 'k', value: 'w' });
      await Promise.all([...reads, write]);
      expect(logins()).toHaveLength(2);
      expect(await store.retrieve(at(), 'k')).toEqual({ name: 'k', value: 'w' });
    },
  );

  it('a late answer about a dead token leaves the one that came in its place alone', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    await store.list(at());
    fake.killTokens('unknown');
    fake.fail({ method: 'GET', template: routes.list, fault: { kind: 'delay', ms: 100 } });
    fake.calls.splice(0);
    const late = store.list(at());
    while (fake.count('GET', routes.list) === 0) await new Promise((resolve) => setImmediate(resolve));
    await store.update(at(), { name: 'k', value: 'w' });
    expect(logins()).toHaveLength(1);
    expect(await late).toHaveLength(1);
    expect(logins()).toHaveLength(1);
  });

  it('a token that is refused as soon as it was given is given longer and longer rests', async () => {
    const { fake, store, logged } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    const status = apiVersion === 'fork' ? 403 : 401;
    const body = { statusCode: status, error: 'UnauthorizedError', message: 'Not from this address' };
    const refuse = () => {
      for (const template of [routes.list, routes.ping])
        fake.fail({ method: 'GET', template, times: 9999, fault: { kind: 'answer', status, body } });
    };
    refuse();
    const message = expect.stringMatching(/refuses the token that it has just given; logins are paused/);
    const atSeconds: number[] = [];
    for (let seconds = 0; seconds <= 700; seconds += 10) {
      const before = logins().length;
      const reads = Array.from({ length: 5 }, () => outcome(store.list(at())));
      expect(new Set(await Promise.all(reads))).toEqual(new Set(['STORE_UNAVAILABLE']));
      await expect(store.ping()).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE', message });
      expect(logins().length - before).toBeLessThanOrEqual(1);
      if (logins().length > before) atSeconds.push(seconds);
      clock.advance(10_000);
    }
    expect(atSeconds).toEqual([0, 60, 180, 420]);
    expect(logged.filter(({ event }) => event === 'infisical_token_refused')).toHaveLength(4);
    // What it is not refused for is served all the while.
    await store.create(at(), { name: 'l', value: 'w' });
    fake.heal();
    fake.killTokens('unknown');
    clock.advance(300_000);
    expect(await store.list(at())).toHaveLength(2);
    // Another trouble begins with a short rest again.
    refuse();
    await outcome(store.list(at()));
    const before = logins().length;
    clock.advance(60_000);
    await outcome(store.list(at()));
    expect(logins()).toHaveLength(before + 1);
  });

  it('a missing right is not mended by another login', async () => {
    const { fake, store } = opened;
    await store.create(at(), { name: 'k', value: 'v' });
    for (const project of fake.world.projects) project.members.set(fake.identity.id, 'viewer');
    expect(await outcome(store.update(at(), { name: 'k', value: 'w' }))).toBe('STORE_UNAVAILABLE');
    expect(logins()).toHaveLength(1);
  });

  it('wrong credentials are given longer and longer rests, and readiness says so', async () => {
    const { fake, another, logged } = opened;
    const wrong = another({ clientSecret: 'wrong' });
    const message =
      'Infisical refuses the client id or the client secret; are they of the Infisical at INFISICAL_URL? Logins are paused between attempts.';
    const restsMs: number[] = [];
    for (let seconds = 0; seconds <= 1500; seconds += 10) {
      const before = logins().length;
      await expect(wrong.ping()).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE', message });
      expect(await outcome(wrong.list(at()))).toBe('STORE_UNAVAILABLE');
      if (logins().length > before) restsMs.push(seconds);
      clock.advance(10_000);
    }
    // After 60 s, 120 s, 240 s, then every 300 s: the newer servers lock an identity after three within 30 s.
    expect(restsMs).toEqual([0, 60, 180, 420, 720, 1020, 1320]);
    expect(logged.filter(({ event }) => event === 'infisical_login_refused')).toHaveLength(7);
    fake.identity.clientSecret = 'wrong';
    clock.advance(300_000);
    await wrong.ping();
  });

  it('new credentials end the rest that refused ones were given', async () => {
    const { fake, another } = opened;
    let current = { clientId: fake.identity.clientId, clientSecret: 'wrong' };
    const store = another({
      universalAuth: { ...fixed(current), current: () => current, renewed: () => current },
    });
    expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(await outcome(store.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(logins()).toHaveLength(1);
    current = { ...current, clientSecret: fake.identity.clientSecret };
    expect(await outcome(store.list(at()))).toBe('done');
    expect(logins()).toHaveLength(2);
    // Refused ones that come while a session is good leave it alone.
    current = { ...current, clientSecret: 'wrong again' };
    for (let i = 0; i < 5; i++) expect(await outcome(store.list(at()))).toBe('done');
    expect(logins()).toHaveLength(3);
  });

  it('a login that the server did not answer is tried again, and a refused one is not', async () => {
    const { fake, store, another } = opened;
    fake.fail({ template: routes.login, fault: { kind: 'reset', when: 'before' } });
    await store.list(at());
    expect(logins()).toHaveLength(2);
    await outcome(another({ clientId: 'nobody' }).list(at()));
    expect(logins()).toHaveLength(3);
  });

  it('a login that hangs holds a call no longer than its deadline', async () => {
    const { fake, another } = opened;
    fake.fail({ template: routes.login, times: 99, fault: { kind: 'hang', when: 'before' } });
    const hasty = another({ operationTimeoutMs: 150, requestTimeoutMs: 5_000 });
    const started = performance.now();
    expect(await outcome(hasty.list(at()))).toBe('STORE_UNAVAILABLE');
    expect(performance.now() - started).toBeLessThan(3_000);
  });
});
