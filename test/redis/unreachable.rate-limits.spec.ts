import { LocalRateLimits } from '../../src/limits/rate-limits';
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
