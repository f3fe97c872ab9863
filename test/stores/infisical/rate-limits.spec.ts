import { StoreClient } from '../../support/store-client';
import type { TooManyRequests } from '../../../src/errors/request-errors';
import type { SecretScope } from '../../../src/secrets/secret';
import {
  type RateReport,
  NoPermitInTime,
  UpstreamRateLimits,
} from '../../../src/stores/infisical/transport/upstream-rate-limits';
import { resilientStore } from '../../../src/stores/resilience/concurrency-limit.secret-store';
import { SystemMonotonicTime } from '../../../src/time/clock';
import { RetryBudget } from '../../../src/stores/infisical/api/infisical-api';
import { outcome } from '../../conformance/secret-store.conformance';
import { failureAnswer } from '../../support/fake-infisical/fake-answer';
import type { Fault } from '../../support/fake-infisical/fake-faults';
import { FixedClock } from '../../support/fixed-clock';
import { ManualAlarm } from '../../support/manual-alarm';
import { at, openStore, ROUTES, rowsOf } from './opened-store';

const LIMIT = 40;
const ROUTE = 'GET /secrets';

const outcomeOf = (work: Promise<unknown>) => work.catch((error: unknown) => error);

/** A server's fixed window, as the recorded ones count. */
class CountingServer {
  refused = 0;
  #endsAtMs = 0;
  #used = 0;

  constructor(
    private readonly clock: FixedClock,
    private readonly limit = LIMIT,
  ) {}

  /** What it tells of a call that reaches it now. */
  answer(): RateReport {
    const nowMs = this.clock.nowMs();
    if (nowMs >= this.#endsAtMs) [this.#endsAtMs, this.#used] = [nowMs + 60_000, 0];
    this.#used += 1;
    const resetMs = Math.ceil((this.#endsAtMs - nowMs) / 1000) * 1000;
    const report = { limit: this.limit, remaining: Math.max(0, this.limit - this.#used), resetMs };
    if (this.#used <= this.limit) return report;
    this.refused += 1;
    return { ...report, refused: { forMs: resetMs } };
  }
}

describe('a call whose turn comes with the next window', () => {
  /** Time goes on between two looks at the clock, and Node's timers ring up to a millisecond early. */
  const earlyBy = (ms: number) => {
    const clock = new ManualAlarm();
    const time = {
      nowMs: () => {
        clock.advance(0.4);
        return clock.nowMs();
      },
    };
    return {
      clock,
      limits: new UpstreamRateLimits(time, (afterMs, ring) => clock.alarm(afterMs - ms, ring)),
    };
  };
  const closed: RateReport = { limit: LIMIT, remaining: 0, resetMs: 2_000 };

  it.each([0.3, 0.5, 0.7, 0.9])(
    'gets it then, also where the alarm rings %d ms before the window ends',
    async (ms) => {
      const { clock, limits } = earlyBy(ms);
      await limits.acquire(ROUTE, 20_000);
      limits.settle(ROUTE, closed);
      const waited = limits.acquire(ROUTE, 20_000);
      await clock.pass(2_010);
      expect(await Promise.race([waited, Promise.resolve('still waiting')])).toBeLessThan(2_010);
    },
  );

  it('is refused unsent where its time is up by then', async () => {
    const { clock, limits } = earlyBy(-50);
    await limits.acquire(ROUTE, 20_000);
    limits.settle(ROUTE, closed);
    const late = outcomeOf(limits.acquire(ROUTE, 2_020));
    await clock.pass(2_060);
    expect(await late).toEqual(new NoPermitInTime(0));
  });
});

describe('the limits of a server', () => {
  let clock: ManualAlarm;
  let limits: UpstreamRateLimits;
  let server: CountingServer;
  const sent: string[] = [];
  const refusals: number[] = [];
  beforeEach(() => {
    clock = new ManualAlarm();
    limits = new UpstreamRateLimits(clock, clock.alarm);
    server = new CountingServer(clock);
    sent.splice(0);
    refusals.splice(0);
  });
  /** A call that takes its turn and reaches the server at once. */
  const call = async (label: string, maxWaitMs = 20_000, route = ROUTE) => {
    try {
      await limits.acquire(route, maxWaitMs);
    } catch (error: unknown) {
      if (!(error instanceof NoPermitInTime)) throw error;
      refusals.push(error.retryAfterMs);
      return;
    }
    sent.push(label);
    await new Promise((resolve) => setImmediate(resolve));
    limits.settle(route, server.answer());
  };
  const many = (count: number, maxWaitMs?: number, prefix = 'c') =>
    Promise.all(Array.from({ length: count }, (_, i) => call(`${prefix}${i}`, maxWaitMs)));

  it('are never met by a refusal, however many calls arrive at once', async () => {
    await many(100);
    expect(server.refused).toBe(0);
    expect(sent).toHaveLength(LIMIT);
    // The others cannot be served before the window ends, which is told at once.
    expect(refusals).toHaveLength(60);
    expect(new Set(refusals)).toEqual(new Set([60_000]));
    expect(clock.pending).toBe(0);
  });

  it('are waited for in the order of arrival where there is time', async () => {
    await many(LIMIT);
    await clock.pass(45_000);
    const waiting = many(LIMIT + 5, 20_000, 'w');
    await clock.pass(14_000);
    expect(sent).toHaveLength(LIMIT);
    // The last five would be served in the window after the next.
    expect(refusals).toEqual(Array.from({ length: 5 }, () => 75_000));
    await clock.pass(1_000);
    await waiting;
    expect(sent.slice(LIMIT)).toEqual(Array.from({ length: LIMIT }, (_, i) => `w${i}`));
    expect(server.refused).toBe(0);
  });

  it('are followed window after window', async () => {
    for (let minute = 0; minute < 5; minute++) {
      await many(LIMIT);
      await clock.pass(60_000);
    }
    expect(sent).toHaveLength(5 * LIMIT);
    expect(server.refused).toBe(0);
  });

  it('are counted for each route', async () => {
    await many(LIMIT);
    server = new CountingServer(clock);
    await call('other', 1_000, 'POST /secrets');
    expect(sent.at(-1)).toBe('other');
  });

  it('that others use too are learned from what the answers say is left', async () => {
    await call('a');
    for (let i = 0; i < 30; i++) server.answer();
    await call('b');
    await many(20);
    expect(sent).toHaveLength(LIMIT - 30);
    expect(server.refused).toBe(0);
  });

  it('close the window after a refusal, and those who wait hear it', async () => {
    await call('a');
    await limits.acquire(ROUTE, 20_000);
    limits.settle(ROUTE, { refused: { forMs: 10_000 } });
    const waits = call('b', 20_000);
    await call('c', 5_000);
    expect(refusals).toEqual([10_000]);
    await clock.pass(10_000);
    await waits;
    expect(sent).toEqual(['a', 'b']);
  });

  it('that are not there cost nothing', async () => {
    await limits.acquire(ROUTE, 1_000);
    limits.settle(ROUTE, {});
    await Promise.all(Array.from({ length: 500 }, () => limits.acquire(ROUTE, 0)));
  });

  it('that show up after there were none count the calls that are on their way', async () => {
    await limits.acquire(ROUTE, 1_000);
    limits.settle(ROUTE, {});
    for (let i = 0; i < 15; i++) await limits.acquire(ROUTE, 1_000);
    limits.settle(ROUTE, { limit: LIMIT, remaining: 20, resetMs: 50_000 });
    await many(20, 1_000);
    expect(sent).toHaveLength(6);
    expect(refusals).toHaveLength(14);
  });

  it('a clock that is set back keeps nobody waiting', async () => {
    await many(LIMIT);
    clock.advance(-3_600_000);
    server = new CountingServer(clock);
    await call('late', 1_000);
    expect(sent.at(-1)).toBe('late');
  });

  it('calls that got no answer free their place', async () => {
    await Promise.all(Array.from({ length: 8 }, () => limits.acquire(ROUTE, 1_000)));
    const waits = call('ninth', 1_000);
    limits.settle(ROUTE, undefined);
    await waits;
    expect(sent).toEqual(['ninth']);
  });

  it('nobody waits for a store that is closed', async () => {
    await many(LIMIT);
    await clock.pass(50_000);
    const waits = call('w', 20_000);
    limits.close();
    await waits;
    expect(refusals).toEqual([0]);
    expect(clock.pending).toBe(0);
  });
});

describe.each(['v3', 'fork'] as const)('a store on a server with limits (%s)', (apiVersion) => {
  it('never runs into them: what cannot be served in time is refused with the wait, unsent', async () => {
    const { fake, store } = await openStore({ apiVersion, rateLimits: true });
    await store.create(at(), { name: 'k', value: 'v' });
    const limit = apiVersion === 'v3' ? 40 : 60;
    const before = fake.count('GET', ROUTES.list);
    const reads = Array.from({ length: 100 }, () => store.retrieve(at(), 'k'));
    const ended = await Promise.allSettled(reads);
    const refused = ended.filter((one) => one.status === 'rejected');
    expect(fake.calls.filter(({ status }) => status === 429)).toEqual([]);
    expect(fake.count('GET', ROUTES.list)).toBe(limit);
    expect(refused).toHaveLength(100 - limit + before);
    for (const { reason } of refused) expect(reason).toMatchObject({ reason: 'TOO_MANY_REQUESTS' });
    const { retryAfterSeconds } = refused[0]?.reason as { retryAfterSeconds: number };
    expect(retryAfterSeconds).toBeGreaterThan(50);
    expect(retryAfterSeconds).toBeLessThanOrEqual(60);
  }, 20_000);

  it('a refusal that comes nevertheless closes the window for all', async () => {
    const { fake, store } = await openStore({ apiVersion });
    await store.create(at(), { name: 'k', value: 'v' });
    const limited: Fault = {
      kind: 'answer',
      status: 429,
      headers: { 'retry-after': '59' },
      body: { statusCode: 429, message: 'Rate limit exceeded', error: 'RateLimitExceeded' },
    };
    fake.fail({ method: 'GET', template: ROUTES.list, fault: limited });
    const before = fake.count('GET', ROUTES.list);
    for (let i = 0; i < 5; i++) expect(await outcome(store.list(at()))).toBe('TOO_MANY_REQUESTS');
    expect(fake.count('GET', ROUTES.list)).toBe(before + 1);
  });
});

describe.each([
  ['list', 'GET', ROUTES.list, 2_050],
  ['delete', 'DELETE', ROUTES.secret, 2_700],
] as const)(
  'a %s whose turn would leave it no time to be answered',
  (call, method, template, operationTimeoutMs) => {
    it('is refused at once with the true wait, and never sent', async () => {
      const { fake, store } = await openStore({ apiVersion: 'v3' }, { operationTimeoutMs });
      await store.create(at(), { name: 'k', value: 'v' });
      const refusal = failureAnswer(429, 'RateLimitExceeded', 'Rate limit exceeded');
      fake.fail({ method, template, fault: { kind: 'answer', ...refusal, headers: { 'retry-after': '2' } } });
      const ask = () => (call === 'list' ? store.list(at()) : store.delete(at(), 'k'));
      expect(await outcome(ask())).toBe('TOO_MANY_REQUESTS');
      const [sinceMs, sent] = [performance.now(), fake.count(method, template)];
      await expect(ask()).rejects.toMatchObject({ reason: 'TOO_MANY_REQUESTS', retryAfterSeconds: 2 });
      expect(performance.now() - sinceMs).toBeLessThan(1_000);
      expect(fake.count(method, template)).toBe(sent);
    });
  },
);

describe("fifty creates of one name within the fork's limits, where a write takes 0.3 s", () => {
  it('are one success and 49 that find it there', async () => {
    const { fake, store: inner } = await openStore({ apiVersion: 'fork', rateLimits: true });
    const deps = { time: new SystemMonotonicTime(), log: () => undefined };
    const store = new StoreClient(resilientStore(inner.store, 20_000, deps));
    fake.fail({ method: 'POST', template: ROUTES.secret, times: 99, fault: { kind: 'delay', ms: 300 } });
    const creates = Array.from({ length: 50 }, () => outcome(store.create(at(), { name: 'k', value: 'v' })));
    expect((await Promise.all(creates)).sort()).toEqual([...Array(49).fill('SECRET_ALREADY_EXISTS'), 'done']);
    expect(fake.calls.filter(({ status }) => status === 429)).toEqual([]);
  }, 30_000);
});

describe("fifty parallel creates of different names within the fork's limits, each in half its time and half the time allowed", () => {
  // Half of the default, and a second in which the machine may stand still.
  const operationTimeoutMs = 11_000;
  const created = async (scopeOf: (n: number) => SecretScope) => {
    const { fake, store: inner } = await openStore(
      { apiVersion: 'fork', rateLimits: true },
      { operationTimeoutMs },
    );
    const deps = { time: new SystemMonotonicTime(), log: () => undefined };
    const store = new StoreClient(resilientStore(inner.store, operationTimeoutMs, deps));
    const takes = (template: string, ms: number) =>
      fake.fail({ method: 'POST', template, times: 999, fault: { kind: 'delay', ms } });
    takes(ROUTES.secret, 150);
    takes(ROUTES.projects, 225);
    const begunMs = performance.now();
    const creates = Array.from({ length: 50 }, async (_, n) => {
      const name = `k${n}`;
      const refusal = await store.create(scopeOf(n), { name, value: 'v' }).catch((error: unknown) => error);
      return { scope: scopeOf(n), name, refusal, tookMs: performance.now() - begunMs };
    });
    const ended = await Promise.all(creates);
    expect(fake.calls.filter(({ status }) => status === 429)).toEqual([]);
    for (const { scope, name, refusal } of ended)
      expect(rowsOf(fake, scope).some(([key]) => key === name)).toBe(refusal === undefined);
    return ended;
  };

  it('are all done in a workspace that is not there yet; of fifty new workspaces so many as the limit lets, the others are refused with the wait', async () => {
    const [one, many] = await Promise.all([created(() => at()), created((n) => at(`ws${n}`))]);
    const refusedOf = (ended: typeof one) => ended.filter(({ refusal }) => refusal !== undefined);
    // A machine that is slow leaves some no time: they were not sent, and hear when to come again.
    expect(refusedOf(one).length).toBeLessThan(15);
    expect(refusedOf(many)).toHaveLength(20);
    for (const { refusal } of [...refusedOf(one), ...refusedOf(many)])
      expect(refusal).toMatchObject({ reason: 'TOO_MANY_REQUESTS' });
    for (const { refusal, tookMs } of refusedOf(many)) {
      const { retryAfterSeconds } = refusal as TooManyRequests;
      // Until the first is answered nobody knows that there is a limit.
      expect(tookMs).toBeLessThan(6_000);
      expect(retryAfterSeconds).toBeGreaterThanOrEqual(48);
      expect(retryAfterSeconds).toBeLessThanOrEqual(60);
    }
  }, 40_000);
});

describe('the budget of retries', () => {
  it('is a tenth of the calls, after a small start', () => {
    const budget = new RetryBudget(new FixedClock());
    const spent = () => Array.from({ length: 1000 }, () => budget.spend()).filter(Boolean).length;
    expect(spent()).toBe(10);
    for (let i = 0; i < 55; i++) budget.earn();
    expect(spent()).toBe(5);
    for (let i = 0; i < 10_000; i++) budget.earn();
    expect(spent()).toBe(10);
  });

  it('comes back with time, also where there are few calls', () => {
    const clock = new FixedClock();
    const budget = new RetryBudget(clock);
    for (let i = 0; i < 10; i++) budget.spend();
    clock.advance(25_000);
    budget.earn();
    expect([budget.spend(), budget.spend(), budget.spend(), budget.spend(), budget.spend()]).toEqual([true, true, true, true, true]); // prettier-ignore
    expect(budget.spend()).toBe(false);
    clock.advance(-3_600_000);
    budget.earn();
    expect(budget.spend()).toBe(false);
  });

  it('keeps a store from asking a failing server everything three times', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3' }, {}, new FixedClock());
    await store.create(at(), { name: 'k', value: 'v' });
    fake.fail({
      method: 'GET',
      template: ROUTES.list,
      times: 9_999,
      fault: { kind: 'reset', when: 'before' },
    });
    const before = fake.count('GET', ROUTES.list);
    await Promise.all(Array.from({ length: 100 }, () => outcome(store.list(at()))));
    expect(fake.count('GET', ROUTES.list) - before).toBeGreaterThan(100);
    expect(fake.count('GET', ROUTES.list) - before).toBeLessThanOrEqual(100 + 10 + 11);
  });
});
