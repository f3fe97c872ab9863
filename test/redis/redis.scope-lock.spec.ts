import { UNATTENDED } from '../../src/secrets/secret';
import { StoreClient } from '../support/store-client';
import { NO_OTHER_REPLICA } from '../../src/concurrency/keyed-work';
import { RedisScopeLock } from '../../src/redis/redis.scope-lock';
import { SystemClock } from '../../src/time/clock';
import { createInfisicalSecretStore } from '../support/infisical-store';
import { describeScopeLock } from '../conformance/scope-lock.conformance';
import { outcome } from '../conformance/secret-store.conformance';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { RedisServer } from '../support/redis-server';
import { openRedis, type OpenedRedis, up } from './opened-redis';

const SCOPE = '["alice","canary-notes","prod"]';
let redis: RedisServer;
beforeAll(async () => (redis = await RedisServer.start({ password: 'canary-password' })));
afterAll(() => redis.remove());

/** As many replicas as wanted, each with its own connections. */
async function replicas(count: number) {
  const links = Array.from({ length: count }, () =>
    openRedis({ port: redis.port, password: 'canary-password' }),
  );
  opened.push(...links);
  await Promise.all(links.map((link) => up(link)));
  return links.map((opened) => ({ ...opened, lock: new RedisScopeLock(opened.link) }));
}
const opened: OpenedRedis[] = [];
afterEach(async () => {
  for (const { link, logged } of opened.splice(0)) {
    await link.close();
    expect(logged.join()).not.toContain('canary');
  }
});
const keys = async ({ link }: OpenedRedis): Promise<string[]> =>
  link.commands.run((client) => client.keys('test:*'));

describeScopeLock('the lock where there is no other replica', {
  open: async () => [NO_OTHER_REPLICA],
});

describeScopeLock('the lock over a Redis that cannot be reached', {
  async open() {
    opened.push(openRedis({ port: 1 }));
    return [new RedisScopeLock(opened.at(-1)!.link)];
  },
});

describeWith('redis-server', 'beside a Redis', () => {
  describeScopeLock('the lock over Redis', {
    async open() {
      const [first, ...others] = (await replicas(3)).map(({ lock }) => lock);
      return [first!, ...others];
    },
  });
});

describeWith('redis-server', 'the lock of a scope', () => {
  it('excludes all replicas, and is free once it is released', async () => {
    const [a, b] = await replicas(2);
    const held = await a!.lock.hold(SCOPE, 1_000, UNATTENDED.signal);
    expect(await b!.lock.hold(SCOPE, 100, UNATTENDED.signal)).toBeUndefined();
    const waiting = b!.lock.hold(SCOPE, 5_000, UNATTENDED.signal);
    held?.release();
    (await waiting)?.release();
    expect(b!.outcomes).toEqual(['late', 'held']);
  });

  it('does not block other scopes', async () => {
    const [a, b] = await replicas(2);
    const held = await a!.lock.hold(SCOPE, 1_000, UNATTENDED.signal);
    const other = await b!.lock.hold('["bob","notes","prod"]', 0, UNATTENDED.signal);
    expect(other).toBeDefined();
    held?.release();
    other?.release();
  });

  it('leaves nothing behind in Redis, and names no user while it is held', async () => {
    const [a] = await replicas(1);
    const held = await a!.lock.hold(SCOPE, 1_000, UNATTENDED.signal);
    expect((await keys(a!)).filter((key) => !/^test:lock:[\w-]{43}(:next)?$/.test(key))).toEqual([]);
    held?.release();
    expect((await keys(a!)).filter((key) => !key.endsWith(':next'))).toEqual([]);
  });

  it('goes to the replica that waits for it, however many writes the other one has queued', async () => {
    const [a, b] = await replicas(2);
    const order: string[] = [];
    const write = async (who: string, { lock }: typeof a & object): Promise<void> => {
      const held = await lock.hold(SCOPE, 10_000, UNATTENDED.signal);
      order.push(who);
      await new Promise((resolve) => setTimeout(resolve, 60));
      held?.release();
    };
    const many = (async () => {
      for (let i = 0; i < 10; i++) await write('a', a!);
    })();
    await eventually(() => expect(order).toContain('a'));
    await write('b', b!);
    await many;
    expect(order.indexOf('b')).toBeLessThan(4);
  });

  it('is renewed while it is held, and is not released by the replica that lost it', async () => {
    const [a, b] = await replicas(2);
    const held = await a!.lock.hold(SCOPE, 1_000, UNATTENDED.signal);
    const [key = ''] = (await keys(a!)).filter((name) => !name.endsWith(':next'));
    const left = () => a!.link.commands.run((client) => client.pttl(key));
    await a!.link.commands.run((client) => client.pexpire(key, 3_000));
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await left()).toBeGreaterThan(3_000);
    await a!.link.commands.run((client) => client.del(key));
    const taken = await b!.lock.hold(SCOPE, 1_000, UNATTENDED.signal);
    await eventually(() => expect(a!.outcomes).toEqual(['held', 'lost']), 4_000);
    held?.release();
    expect(await a!.lock.hold(SCOPE, 100, UNATTENDED.signal)).toBeUndefined();
    taken?.release();
  }, 15_000);

  it('is granted at once where Redis is unavailable', async () => {
    const alone = openRedis({ port: 1 });
    opened.push(alone);
    const beganMs = performance.now();
    const held = await new RedisScopeLock(alone.link).hold(SCOPE, 10_000, UNATTENDED.signal);
    expect(performance.now() - beganMs).toBeLessThan(2_000);
    held?.release();
    expect(alone.outcomes).toEqual(['alone']);
    await eventually(() => expect(alone.logged).toEqual(['redis_lost {"reason":"unreachable"}']));
  });
});

describeWith('redis-server', 'two stores on one Infisical', () => {
  let fake: FakeInfisical;
  let stores: StoreClient[];
  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion: 'v3' });
    const both = await replicas(2);
    const { clientId, clientSecret } = fake.identity;
    const options = { url: fake.url, clientId, clientSecret };
    stores = both.map(
      ({ lock }) =>
        new StoreClient(createInfisicalSecretStore({ ...options, scopeLock: lock }, new SystemClock())),
    );
  });
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await fake.close();
  });

  it('let one of 50 creates of one name succeed, without a duplicate row', async () => {
    const scope = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;
    const secret = (value: number) => ({ name: 'KEY', value: String(value) });
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => outcome(stores[i % 2]!.create(scope, secret(i)))),
    );
    const counts = new Map<string, number>();
    for (const result of results) counts.set(String(result), (counts.get(String(result)) ?? 0) + 1);
    expect([...counts.values()].sort((a, b) => a - b)).toEqual([1, 49]);
    const rows = fake.world.projects.flatMap(({ environments }) =>
      environments.flatMap(({ secrets }) => secrets),
    );
    expect(rows).toHaveLength(1);
  }, 30_000);
});
