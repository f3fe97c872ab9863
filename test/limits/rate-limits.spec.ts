import { LocalRateLimits, TokenBuckets, type RateLimitsByKind } from '../../src/limits/rate-limits';
import { describeRateLimits } from '../conformance/rate-limits.conformance';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const time = new FixedMonotonicTime();
const notes = { app: 'notes', user: 'alice' };
const rateLimits = (rates: Partial<RateLimitsByKind>) =>
  new LocalRateLimits({ app: {}, user: {}, ...rates }, time);

describeRateLimits('rate limits of this process', {
  async open(rates) {
    const own = new FixedMonotonicTime();
    return { rateLimits: new LocalRateLimits(rates, own), pass: async (ms) => own.advance(ms) };
  },
});

describe('LocalRateLimits', () => {
  it('allows the burst at once, and then one request for each new token', () => {
    const some = rateLimits({ app: { read: { perSecond: 10, burst: 3 } } });
    const taken = [1, 2, 3, 4].map(() => some.take('read', notes));
    expect(taken).toEqual([undefined, undefined, undefined, { limitOf: 'app', retryAfterMs: 100 }]);
    time.advance(99);
    expect(some.take('read', notes)).toEqual({ limitOf: 'app', retryAfterMs: 1 });
    time.advance(1);
    expect([some.take('read', notes), some.take('read', notes)?.retryAfterMs]).toEqual([undefined, 100]);
  });

  it('allows no more than the burst after any pause', () => {
    const some = rateLimits({ user: { write: { perSecond: 1000, burst: 2 } } });
    some.take('write', notes);
    time.advance(3_600_000);
    expect([1, 2, 3].map(() => some.take('write', notes)?.limitOf)).toEqual([undefined, undefined, 'user']);
  });

  it('limits reads and writes, the apps of one user, and the users of one app separately', () => {
    const one = { perSecond: 1, burst: 1 };
    const some = rateLimits({ app: { read: one, write: one } });
    const subjects = [notes, { app: 'mail', user: 'alice' }, { app: 'notes', user: 'bob' }];
    for (const rateLimitSubject of subjects) {
      expect([some.take('read', rateLimitSubject), some.take('write', rateLimitSubject)]).toEqual([
        undefined,
        undefined,
      ]);
    }
    for (const rateLimitSubject of subjects) expect(some.take('read', rateLimitSubject)?.limitOf).toBe('app');
  });

  it("counts the calls of all apps of a user, and the user's own, against the user's limit", () => {
    const some = rateLimits({ user: { read: { perSecond: 1, burst: 2 } } });
    expect(some.take('read', notes)).toBeUndefined();
    expect(some.take('read', { user: 'alice' })).toBeUndefined();
    expect(some.take('read', { app: 'mail', user: 'alice' })?.limitOf).toBe('user');
    expect(some.take('read', { app: 'mail', user: 'bob' })).toBeUndefined();
  });

  it('takes no token of the user when the app is refused, and none of the app when the user is refused', () => {
    const some = rateLimits({
      app: { read: { perSecond: 1, burst: 1 } },
      user: { read: { perSecond: 0.5, burst: 2 } },
    });
    expect(some.take('read', notes)).toBeUndefined();
    for (let i = 0; i < 10; i += 1) expect(some.take('read', notes)?.limitOf).toBe('app');
    expect(some.take('read', { user: 'alice' })).toBeUndefined();
    const mail = { app: 'mail', user: 'alice' };
    for (let i = 0; i < 10; i += 1) expect(some.take('read', mail)?.limitOf).toBe('user');
    time.advance(2_000);
    expect(some.take('read', mail)).toBeUndefined();
  });

  it('charges the later cost of a request to the same kind, for app and user', () => {
    const rate = { perSecond: 10, burst: 5 };
    const some = rateLimits({
      app: { read: rate, write: rate },
      user: { read: { perSecond: 100, burst: 10 } },
    });
    some.charge('read', notes, 14);
    expect(some.take('read', notes)).toEqual({ limitOf: 'app', retryAfterMs: 1_000 });
    expect(some.take('write', notes)).toBeUndefined();
    expect(some.take('read', { user: 'alice' })).toEqual({ limitOf: 'user', retryAfterMs: 50 });
    time.advance(1_000);
    expect([some.take('read', notes), some.take('read', notes)?.limitOf]).toEqual([undefined, 'app']);
  });

  it('limits the debt to the tokens of ten seconds, or to a burst where that is more', () => {
    const some = rateLimits({ app: { read: { perSecond: 10, burst: 5 } } });
    for (let at = 0; at < 50; at += 1) some.charge('read', notes, 100);
    expect(some.take('read', notes)).toEqual({ limitOf: 'app', retryAfterMs: 10_100 });
    const slow = rateLimits({ app: { read: { perSecond: 0.1, burst: 5 } } });
    for (let at = 0; at < 50; at += 1) slow.charge('read', notes, 100);
    expect(slow.take('read', notes)).toEqual({ limitOf: 'app', retryAfterMs: 60_000 });
  });

  it('remembers a bounded number of accounts', () => {
    const buckets = new TokenBuckets('user', { perSecond: 1, burst: 1 }, time, 100);
    for (let i = 0; i < 1_000; i += 1) buckets.bucketOf({ user: `user ${i}` });
    expect(buckets.count).toBe(100);
  });
});
