import { NoInvalidationBus, type WrittenScope } from '../../src/stores/cached/invalidation-bus';
import { RedisInvalidationBus, ScopeCipher } from '../../src/redis/redis.invalidation-bus';
import { type Reloadable, fixed } from '../../src/reloadable/reloadable';
import { describeInvalidationBus } from '../conformance/invalidation-bus.conformance';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { RedisServer } from '../support/redis-server';
import { MemoryBus, type MemoryChannel } from './memory-channel';
import { openRedis } from './opened-redis';

const SCOPE = { scope: '["alice","canary-notes","prod"]' };
const KEY = fixed<Uint8Array>(Buffer.from('k'.repeat(32)));

interface Replica {
  readonly invalidationBus: RedisInvalidationBus;
  readonly channel: MemoryChannel;
  readonly received: WrittenScope[];
  readonly logged: string[];
}

function replicas() {
  const bus = new MemoryBus();
  const time = new FixedMonotonicTime();
  const replica = (key: Reloadable<Uint8Array> = KEY): Replica => {
    const channel = bus.end();
    const [received, logged]: [WrittenScope[], string[]] = [[], []];
    const log = (_level: string, event: string) => void logged.push(event);
    const invalidationBus = new RedisInvalidationBus(channel, new ScopeCipher(key), time, log);
    invalidationBus.listen((written) => received.push(written));
    return { invalidationBus, channel, received, logged };
  };
  const [a, b] = [replica(), replica()];
  time.advance(500);
  for (const { received } of [a, b]) received.splice(0);
  return { bus, time, replica, a, b };
}
/** What is said is said in the same turn of the event loop, and settles in the next. */
const settled = () => new Promise(setImmediate);

describeInvalidationBus('the bus of a single replica', {
  open: async () => ({ buses: [new NoInvalidationBus()], arrived: () => Promise.resolve() }),
});

describeInvalidationBus('the bus over a channel in memory', {
  async open() {
    const { a, b, replica, time } = replicas();
    const c = replica();
    time.advance(500);
    return {
      buses: [a, b, c].map(({ invalidationBus }) => invalidationBus) as [RedisInvalidationBus],
      arrived: settled,
    };
  },
});

describeWith('redis-server', 'beside a Redis', () => {
  let redis: RedisServer;
  const closing: (() => Promise<unknown>)[] = [];
  beforeAll(async () => (redis = await RedisServer.start()));
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  afterAll(() => redis.remove());

  /** With a channel of its own for each test, so that replicas of an earlier one are no silent replicas. */
  let tests = 0;
  describeInvalidationBus('the bus over Redis', {
    async open() {
      const keyPrefix = `test-${(tests += 1)}:`;
      const replica = () => {
        const { link } = openRedis({ port: redis.port }, { keyPrefix });
        const bus = new RedisInvalidationBus(link, new ScopeCipher(KEY), link.deps.time, () => undefined);
        closing.push(() => bus.close().then(() => link.close()));
        return bus;
      };
      const first = replica();
      const buses = [first, replica(), replica()] as const;
      await eventually(() => expect(buses.map(({ received }) => received)).toEqual([true, true, true]));
      // Replicas that are heard by all: each has sent a heartbeat since the last of them subscribed.
      await new Promise((resolve) => setTimeout(resolve, 600));
      return { buses, arrived: () => new Promise((resolve) => setTimeout(resolve, 200)) };
    },
  });
});

describe('invalidations on the bus', () => {
  it('tell the other replicas which scope was written, or that any was, and not their sender', async () => {
    const { a, b } = replicas();
    await a.invalidationBus.publish(SCOPE);
    await a.invalidationBus.publish('unknown');
    await b.invalidationBus.publish(SCOPE);
    expect([a.received, b.received]).toEqual([[SCOPE], [SCOPE, 'unknown']]);
    expect([a.logged, b.logged]).toEqual([[], []]);
  });

  it('contain no user and no workspace in clear text', async () => {
    const { a, bus } = replicas();
    await a.invalidationBus.publish(SCOPE);
    expect(bus.said.join()).not.toMatch(/canary|alice/);
    expect(bus.said.join()).not.toContain(Buffer.from('canary').toString('base64url'));
  });

  it('that cannot be decrypted count as a write of any scope, and are logged once', async () => {
    const { replica, a } = replicas();
    const other = replica(fixed<Uint8Array>(Buffer.from('o'.repeat(32))));
    other.received.splice(0);
    await a.invalidationBus.publish(SCOPE);
    await a.invalidationBus.publish(SCOPE);
    expect([other.received, other.logged]).toEqual([
      ['unknown', 'unknown'],
      ['redis_invalidation_unreadable'],
    ]);
  });

  it('are decrypted also with a key that was replaced', async () => {
    const { replica, a } = replicas();
    const [current] = fixed<Uint8Array>(Buffer.from('o'.repeat(32))).versions;
    const versions = [current!, ...KEY.versions];
    const renewed = replica({ ...KEY, current: () => current!.value, versions });
    renewed.received.splice(0);
    await a.invalidationBus.publish(SCOPE);
    expect([renewed.received, renewed.logged]).toEqual([[SCOPE], []]);
  });

  it('that are malformed, or of another release, are ignored and logged once', () => {
    const { bus, b } = replicas();
    for (const text of [
      '',
      'canary',
      '2 x 1 beat',
      '1 x 1 scope',
      '1 x -1 beat',
      '1 x 1 beat more',
      '1  1 all',
    ]) {
      bus.say(text);
    }
    expect([b.received, b.logged]).toEqual([[], ['redis_invalidation_malformed']]);
    expect(b.invalidationBus.received).toBe(true);
  });

  it('of invented replicas fill no memory: those beyond a thousand count as a write of any scope', () => {
    const { bus, b, time } = replicas();
    for (let at = 0; at < 1_100; at += 1) bus.say(`1 invented-${at} 0 beat`);
    expect(b.received.length).toBeGreaterThanOrEqual(100);
    expect(new Set(b.received)).toEqual(new Set(['unknown']));
    expect(b.invalidationBus.received).toBe(true);
    time.advance(302_000);
    expect(b.invalidationBus.received).toBe(true);
    b.received.splice(0);
    bus.say('1 invented-again 0 beat');
    expect(b.received).toEqual([]);
  });

  it('that were changed on the way count as a write of any scope', async () => {
    const { bus, a, b } = replicas();
    b.channel.isDeaf = true;
    await a.invalidationBus.publish(SCOPE);
    b.channel.isDeaf = false;
    const [, from, , sealed = ''] = /^1 (\S+) (\d+) scope (\S+)$/.exec(bus.said.at(-1) ?? '') ?? [];
    bus.say(`1 ${from} 1 scope ${sealed.slice(0, -4)}AAAA`);
    expect(b.received).toEqual(['unknown']);
  });

  it('that were lost are noticed by their number, with the next heartbeat at the latest', async () => {
    const { time, a, b } = replicas();
    b.channel.isDeaf = true;
    await a.invalidationBus.publish(SCOPE);
    b.channel.isDeaf = false;
    expect(b.received).toEqual([]);
    time.advance(500);
    expect(b.received).toEqual(['unknown']);
    time.advance(5_000);
    await a.invalidationBus.publish(SCOPE);
    expect(b.received).toEqual(['unknown', SCOPE]);
  });

  it('that could not be sent are noticed when the sender is back', async () => {
    const { time, a, b } = replicas();
    a.channel.cut();
    await a.invalidationBus.publish(SCOPE);
    expect(b.received).toEqual([]);
    a.channel.mend();
    expect(b.received).toEqual(['unknown']);
    time.advance(500);
    expect(b.received).toEqual(['unknown']);
  });

  it('do not delay a write where Redis accepts them and does not answer', async () => {
    const { time, a } = replicas();
    a.channel.publish = () => new Promise(() => undefined);
    let ended = false;
    const announcing = a.invalidationBus.publish(SCOPE).then(() => (ended = true));
    time.advance(249);
    await settled();
    expect(ended).toBe(false);
    time.advance(1);
    await announcing;
  });
});

describe('whether invalidations are received', () => {
  it('is true once our own heartbeat has come back, and not before', () => {
    const { replica, a } = replicas();
    expect(a.invalidationBus.received).toBe(true);
    const c = replica();
    expect(c.invalidationBus.received).toBe(true);
    c.channel.cut();
    expect(c.invalidationBus.received).toBe(false);
    c.channel.isOpen = true;
    expect(c.invalidationBus.received).toBe(true);
  });

  it('is false after the channel opened, until our own heartbeat has come back', () => {
    const { time, a } = replicas();
    a.channel.cut();
    a.channel.isDeaf = true;
    a.channel.mend();
    expect(a.invalidationBus.received).toBe(false);
    a.channel.isDeaf = false;
    time.advance(500);
    expect(a.invalidationBus.received).toBe(true);
  });

  it('is false where our own messages do not come back, although the connection does not seem lost', () => {
    const { time, a } = replicas();
    a.channel.isDeaf = true;
    time.advance(1_500);
    expect(a.invalidationBus.received).toBe(true);
    time.advance(500);
    expect(a.invalidationBus.received).toBe(false);
    a.channel.isDeaf = false;
    time.advance(500);
    expect(a.invalidationBus.received).toBe(true);
  });

  it('is false while another replica is silent, since it may be cut off and write', () => {
    const { time, a, b } = replicas();
    b.channel.cut();
    time.advance(2_000);
    expect([a.invalidationBus.received, b.invalidationBus.received]).toEqual([false, false]);
    b.channel.mend();
    expect([a.invalidationBus.received, b.invalidationBus.received]).toEqual([true, false]);
    time.advance(500);
    expect([a.invalidationBus.received, b.invalidationBus.received]).toEqual([true, true]);
  });

  it('is true at once after another replica has announced its end, and after five minutes if it has not', async () => {
    const { time, a, b, replica } = replicas();
    const c = replica();
    await b.invalidationBus.close();
    time.advance(2_000);
    expect(a.invalidationBus.received).toBe(true);
    c.channel.cut();
    time.advance(299_000);
    expect(a.invalidationBus.received).toBe(false);
    time.advance(2_000);
    expect(a.invalidationBus.received).toBe(true);
  });

  it('counts as a write of any scope each time that the channel opened', () => {
    const { a } = replicas();
    a.channel.cut();
    expect(a.received).toEqual([]);
    a.channel.mend();
    expect(a.received).toEqual(['unknown']);
  });
});
