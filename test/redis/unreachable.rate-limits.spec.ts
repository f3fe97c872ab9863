import { LocalRateLimits } from '../../src/limits/rate-limits';
import type { RedisClient } from '../../src/redis/redis-client';
import { RedisRateLimits } from '../../src/redis/redis.rate-limits';
import { describeRateLimits } from '../conformance/rate-limits.conformance';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { openRedis, type OpenedRedis } from './opened-redis';

const opened: OpenedRedis[] = [];
afterEach(() => Promise.all(opened.splice(0).map(({ link }) => link.close())));

describeRateLimits('rate limits over a Redis that cannot be reached', {
  async open(rates) {
    const one = openRedis({ port: 1 });
    opened.push(one);
    const time = new FixedMonotonicTime();
    const alone = new LocalRateLimits(rates, time);
    return {
      rateLimits: new RedisRateLimits(rates, one.link, alone),
      pass: async (ms) => time.advance(ms),
    };
  },
});

describe('rate limits over a Redis whose answers are no token bucket’s', () => {
  it.each([[[0, 0]], [[-5, 0]], [[0, 0.5]], [[0, -1]], [[-5, 10]], [[1, -1]], [[]], [[1]], ['OK'], [null]])(
    'are those of this replica, and Redis is asked once for a request: %j',
    async (answer) => {
      const rates = { app: { read: { perSecond: 0.01, burst: 2 } }, user: {} };
      const time = new FixedMonotonicTime();
      let asked = 0;
      const run = () => {
        asked += 1;
        return asked > 100 ? Promise.reject(new Error('asked without end')) : Promise.resolve(answer);
      };
      const redis = { commands: { isReady: true, run }, options: { keyPrefix: '' }, deps: { time } };
      const limits = new RedisRateLimits(
        rates,
        redis as unknown as RedisClient,
        new LocalRateLimits(rates, time),
      );
      const notes = { app: 'notes', user: 'alice' };
      const taken = [];
      for (let at = 0; at < 3; at++) taken.push(await limits.take('read', notes));
      expect(taken.map((exceeded) => exceeded?.limitOf)).toEqual([undefined, undefined, 'app']);
      expect(asked).toBe(3);
    },
  );
});
