import { LocalRateLimits, type RateLimitsByKind, type RateLimitExceeded } from '../../src/limits/rate-limits';
import { RedisRateLimits } from '../../src/redis/redis.rate-limits';
import { describeRateLimits } from '../conformance/rate-limits.conformance';
import { describeWith } from '../support/describe-with';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { RedisServer } from '../support/redis-server';
import { openRedis, type OpenedRedis, up } from './opened-redis';

const notes = { app: 'canary-notes', user: 'alice' };
/** Too slow to drip within a test. */
const slow = (burst: number) => ({ perSecond: 0.01, burst });
let redis: RedisServer;
const opened: OpenedRedis[] = [];
beforeAll(async () => (redis = await RedisServer.start()));
afterAll(() => redis.remove());
afterEach(async () => {
  const [first] = opened;
  await first?.link.commands.run((client) => client.flushall()).catch(() => undefined);
  await Promise.all(opened.splice(0).map(({ link }) => link.close()));
});

async function replica(rates: Partial<RateLimitsByKind>, port = redis.port) {
  const one = openRedis({ port });
  opened.push(one);
  if (port === redis.port) await up(one);
  const all = { app: {}, user: {}, ...rates };
  const alone = new LocalRateLimits(all, new FixedMonotonicTime());
  return { ...one, rateLimits: new RedisRateLimits(all, one.link, alone) };
}
type Replica = Awaited<ReturnType<typeof replica>>;
const take = async (
  { rateLimits }: Replica,
  rateLimitSubject: Parameters<typeof rateLimits.take>[1] = notes,
) => rateLimits.take('read', rateLimitSubject);
const passed = (taken: readonly (RateLimitExceeded | undefined)[]): number =>
  taken.filter((exceeded) => exceeded === undefined).length;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

describeWith('redis-server', 'beside a Redis', () => {
  describeRateLimits('rate limits over Redis', {
    // A timer may fire a fraction of a millisecond early by the clock that the limits read.
    open: async (rates) => ({
      rateLimits: (await replica(rates)).rateLimits,
      pass: (ms) => sleep(ms + 2),
    }),
  });
});

describeWith('redis-server', 'budgets of requests over Redis', () => {
  it('are shared by all replicas', async () => {
    const rates = { app: { read: slow(7) } };
    const [a, b] = [await replica(rates), await replica(rates)];
    const taken = await Promise.all(Array.from({ length: 20 }, (_, i) => take(i % 2 === 0 ? a : b)));
    expect(passed(taken)).toBe(7);
    for (const exceeded of taken.filter((one) => one !== undefined)) {
      expect(exceeded.limitOf).toBe('app');
      expect(exceeded.retryAfterMs).toBeGreaterThan(90_000);
      expect(exceeded.retryAfterMs).toBeLessThanOrEqual(100_000);
    }
  });

  it('charge all replicas for the later cost of a request of one of them', async () => {
    const rates = { app: { read: slow(20) } };
    const [a, b] = [await replica(rates), await replica(rates)];
    a.rateLimits.charge('read', notes, 16);
    expect(passed([await take(a), await take(a)])).toBe(2);
    const taken = await Promise.all(Array.from({ length: 20 }, () => take(b)));
    expect(passed(taken)).toBeLessThanOrEqual(2);
  });

  it('collect a debt at once, and say when it is paid', async () => {
    const a = await replica({ app: { read: { perSecond: 20, burst: 100 } } });
    await take(a);
    const { commands } = a.link;
    const run = commands.run.bind(commands);
    let calls = 0;
    commands.run = (command) => ((calls += 1), run(command));
    a.rateLimits.charge('read', notes, 150);
    const exceeded = await take(a);
    commands.run = run;
    expect(calls).toBeLessThanOrEqual(2);
    expect(exceeded?.retryAfterMs).toBeGreaterThan(2_000);
    expect(exceeded?.retryAfterMs).toBeLessThanOrEqual(5_000);
  });

  it('take from the limits of the app and the user, or from neither', async () => {
    const a = await replica({ app: { read: slow(2) }, user: { read: slow(3) } });
    const apps = ['notes', 'notes', 'notes', 'mail', 'mail', 'mail'];
    const taken: (RateLimitExceeded | undefined)[] = [];
    for (const app of apps) taken.push(await take(a, { app, user: 'alice' }));
    expect(taken.map((exceeded) => exceeded?.limitOf)).toEqual([
      undefined,
      undefined,
      'app',
      undefined,
      'user',
      'user',
    ]);
  });

  it('are separate for users, and for reads and writes', async () => {
    const one = slow(1);
    const a = await replica({ user: { read: one, write: one } });
    const outcomes = [];
    for (const user of ['alice', 'bob', 'alice']) {
      outcomes.push((await a.rateLimits.take('read', { user }))?.limitOf);
      outcomes.push((await a.rateLimits.take('write', { user }))?.limitOf);
    }
    expect(outcomes).toEqual([undefined, undefined, undefined, undefined, 'user', 'user']);
    expect(await a.rateLimits.take('read', { app: 'notes', user: 'carol' })).toBeUndefined();
  });

  it('refill', async () => {
    const a = await replica({ app: { read: { perSecond: 50, burst: 5 } } });
    const beganMs = performance.now();
    const first = await Promise.all(Array.from({ length: 10 }, () => take(a)));
    // The burst, one that had just refilled, and those that refilled meanwhile.
    expect(passed(first)).toBeLessThanOrEqual(6 + ((performance.now() - beganMs) / 1000) * 50);
    const exceeded = first.find((one) => one !== undefined);
    expect(exceeded?.retryAfterMs ?? 0).toBeLessThanOrEqual(20);
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(passed(await Promise.all(Array.from({ length: 10 }, () => take(a))))).toBeGreaterThanOrEqual(4);
  });

  it('fetch a few tokens at a time from Redis, and none while it has none', async () => {
    const a = await replica({ app: { read: { perSecond: 200, burst: 400 } } });
    const calls = async (): Promise<number> => {
      const text = await a.link.commands.run((client) => client.info('commandstats'));
      return Number(/cmdstat_eval:calls=(\d+)/.exec(text)?.[1] ?? 0);
    };
    const before = await calls();
    for (let i = 0; i < 200; i++) await take(a);
    expect((await calls()) - before).toBeLessThanOrEqual(10);
    const b = await replica({ app: { read: slow(1) } });
    await take(b, { app: 'other', user: 'bob' });
    const between = await calls();
    for (let i = 0; i < 50; i++) await take(b, { app: 'other', user: 'bob' });
    expect((await calls()) - between).toBeLessThanOrEqual(1);
  });

  it('are those of this replica while Redis is unavailable', async () => {
    const away = await replica({ app: { read: slow(3) } }, 1);
    // At once: there is nobody to ask.
    const taken = Array.from({ length: 5 }, () => away.rateLimits.take('read', notes));
    expect(taken.map((exceeded) => exceeded instanceof Promise)).toEqual(Array(5).fill(false));
    expect(taken.filter((exceeded) => exceeded === undefined)).toHaveLength(3);
  });

  it('do not delay a request while Redis hangs', async () => {
    const a = await replica({ app: { read: slow(3) } });
    const thaw = redis.freeze();
    const beganMs = performance.now();
    const taken = [await take(a), await take(a)];
    const tookMs = performance.now() - beganMs;
    thaw();
    // Each waits for Redis 100 ms at most.
    expect([passed(taken), tookMs < 2_000]).toEqual([2, true]);
  });

  it('name no user and no app in Redis, and leave nothing there for long', async () => {
    const a = await replica({ app: { read: slow(3) }, user: { read: { perSecond: 10, burst: 10 } } });
    await take(a);
    const keys = await a.link.commands.run((client) => client.keys('*'));
    expect(keys.filter((key) => !/^test:budget:(app|user):read:[\w-]{43}$/.test(key))).toEqual([]);
    for (const key of keys)
      expect(await a.link.commands.run((client) => client.pttl(key))).toBeGreaterThan(0);
  });
});
