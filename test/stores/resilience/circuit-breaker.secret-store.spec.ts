import { StoreClient } from '../../support/store-client';
import { ClientGone, InvalidRequest, TooManyRequests } from '../../../src/errors/request-errors';
import {
  ScopeBusy,
  StoreOutcomeUnknown,
  StoreUnavailable,
  StoreUnreachable,
} from '../../../src/errors/store-errors';
import {
  CircuitBreakerSecretStore,
  type BreakerState,
} from '../../../src/stores/resilience/circuit-breaker.secret-store';
import { describeSecretStore, outcome } from '../../conformance/secret-store.conformance';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';
import { MemorySecretStore } from '../../support/memory.secret-store';

const SCOPE = { user: 'alice', workspace: 'notes', environment: 'prod' } as const;

describeSecretStore('the breaker', {
  open: async () => {
    const around = { time: new FixedMonotonicTime(), log: () => undefined };
    const store = new CircuitBreakerSecretStore(new MemorySecretStore(), around);
    return { store, dispose: () => store.close() };
  },
});

describe('the circuit breaker', () => {
  const build = () => {
    const inner = new MemorySecretStore();
    const time = new FixedMonotonicTime();
    const [logged, became]: [string[], BreakerState[]] = [[], []];
    let state: () => BreakerState = () => 'closed';
    const breaker = new CircuitBreakerSecretStore(inner, {
      time,
      log: (level, event) => logged.push(`${level} ${event}`),
      observer: {
        queueOpened: () => undefined,
        permitRefused: () => undefined,
        breakerOpened: (given) => (state = given),
        breakerBecame: (given) => became.push(given),
      },
    });
    const store = new StoreClient(breaker);
    /** What the call ended with, and whether the store was asked. */
    const list = async (): Promise<readonly [string, boolean]> => {
      const before = inner.calls.length;
      const ended = await outcome(store.list(SCOPE));
      await new Promise(setImmediate);
      return [ended, inner.calls.length > before];
    };
    const failing = async (failure: Error, times: number): Promise<void> => {
      inner.failure = failure;
      for (let i = 0; i < times; i += 1) await list();
    };
    return { inner, time, store, list, failing, logged, became, state: () => state() };
  };
  const ASKED = ['STORE_UNAVAILABLE', true];
  const SPARED = ['STORE_UNAVAILABLE', false];

  it('opens after five failures in a row: reads and writes then fail at once', async () => {
    const { inner, list, failing, store, state } = build();
    await failing(new StoreUnreachable(), 4);
    expect([await list(), state()]).toEqual([ASKED, 'open']);
    expect(await list()).toEqual(SPARED);
    const asked = inner.calls.length;
    await expect(store.create(SCOPE, { name: 'k', value: 'v' })).rejects.toThrow(StoreUnreachable);
    await expect(store.workspacesOf('alice')).rejects.toThrow(StoreUnreachable);
    expect(inner.calls).toHaveLength(asked);
  });

  it('counts a write that was never confirmed as a failure', async () => {
    const { list, failing } = build();
    await failing(new StoreOutcomeUnknown(), 5);
    expect(await list()).toEqual(SPARED);
  });

  it.each([
    ['was busy', new TooManyRequests(1)],
    ['refused us', new StoreUnavailable()],
    ['was asked for what cannot be', new InvalidRequest('name', 'must be another')],
    ['is written to by others all the time', new ScopeBusy()],
  ])('goes on asking a store that %s, however often', async (_, failure) => {
    const { list, failing, state } = build();
    await failing(failure, 20);
    expect([(await list())[1], state()]).toEqual([true, 'closed']);
  });

  it('resets its count after an answer, also after SECRET_NOT_FOUND, but not without one', async () => {
    const { inner, store, list, failing, state } = build();
    await failing(new StoreUnreachable(), 4);
    inner.failure = undefined;
    await expect(store.retrieve(SCOPE, 'absent')).rejects.toThrow('There is no secret');
    await failing(new StoreUnreachable(), 4);
    await failing(new TooManyRequests(1), 3);
    expect(state()).toBe('closed');
    inner.failure = new StoreUnreachable();
    expect([await list(), state()]).toEqual([ASKED, 'open']);
  });

  it('sends one trial call after two seconds, and fails the others meanwhile', async () => {
    const { inner, time, list, failing, state } = build();
    await failing(new StoreUnreachable(), 5);
    time.advance(1_999);
    expect(await list()).toEqual(SPARED);
    time.advance(1);
    inner.failure = undefined;
    let open = (): void => undefined;
    inner.gate = new Promise((resolve) => (open = resolve));
    const trial = list();
    expect(state()).toBe('half_open');
    expect(await list()).toEqual(SPARED);
    open();
    expect([await trial, state(), await list()]).toEqual([['done', true], 'closed', ['done', true]]);
  });

  it('is closed once the caller of a trial has its answer, so that a call right behind it passes', async () => {
    const { inner, time, store, failing } = build();
    await failing(new StoreUnreachable(), 5);
    time.advance(2_000);
    inner.failure = undefined;
    await store.measure(SCOPE);
    await store.create(SCOPE, { name: 'k', value: 'v' });
    expect(await store.retrieve(SCOPE, 'k')).toEqual({ name: 'k', value: 'v' });
  });

  it.each([
    ['fails', new StoreUnreachable()],
    ['tells nothing', new TooManyRequests(1)],
  ])('waits two seconds more after a trial that %s', async (_, failure) => {
    const { inner, time, list, failing, state } = build();
    await failing(new StoreUnreachable(), 5);
    time.advance(2_000);
    inner.failure = failure;
    expect([(await list())[1], state()]).toEqual([true, 'open']);
    time.advance(1_999);
    expect(await list()).toEqual(SPARED);
    time.advance(1);
    expect((await list())[1]).toBe(true);
  });

  it('makes the next call the trial when the client of a trial hangs up', async () => {
    const { inner, time, list, failing, state } = build();
    await failing(new StoreUnreachable(), 5);
    time.advance(2_000);
    inner.failure = new ClientGone();
    expect([(await list())[1], state()]).toEqual([true, 'open']);
    inner.failure = new StoreUnreachable();
    expect([await list(), state()]).toEqual([ASKED, 'open']);
    time.advance(1_999);
    expect(await list()).toEqual(SPARED);
    time.advance(1);
    inner.failure = undefined;
    expect([await list(), state()]).toEqual([['done', true], 'closed']);
  });

  it('counts a trial that hangs as failed, and sends another one', async () => {
    const { inner, time, list, failing, state } = build();
    await failing(new StoreUnreachable(), 5);
    time.advance(2_000);
    inner.failure = undefined;
    let open = (): void => undefined;
    inner.gate = new Promise((resolve) => (open = resolve));
    const hangs = list();
    time.advance(5_000);
    await new Promise(setImmediate);
    expect([await list(), state()]).toEqual([SPARED, 'open']);
    inner.gate = Promise.resolve();
    time.advance(2_000);
    expect([await list(), state()]).toEqual([['done', true], 'closed']);
    open();
    expect((await hangs)[0]).toBe('done');
  });

  it('closes after a successful trial, whatever becomes of calls that began before it opened', async () => {
    const { inner, time, list, failing, state } = build();
    let fail = (): void => undefined;
    inner.gate = new Promise((resolve) => (fail = resolve));
    const old = list();
    inner.gate = Promise.resolve();
    await failing(new StoreUnreachable(), 5);
    time.advance(2_000);
    inner.failure = undefined;
    let open = (): void => undefined;
    inner.gate = new Promise((resolve) => (open = resolve));
    const trial = list();
    inner.failure = new StoreUnreachable();
    fail();
    await old;
    inner.failure = undefined;
    open();
    expect([await trial, state()]).toEqual([['done', true], 'closed']);
  });

  it('forwards a ping to the store', async () => {
    const { inner, store, failing } = build();
    await failing(new StoreUnreachable(), 5);
    await expect(store.ping()).rejects.toBe(inner.failure);
    inner.failure = undefined;
    await expect(store.ping()).resolves.toBeUndefined();
  });

  it('tells its observer each change of state once', async () => {
    const { inner, time, list, failing, logged, became } = build();
    await failing(new StoreUnreachable(), 9);
    time.advance(2_000);
    await list();
    time.advance(2_000);
    inner.failure = undefined;
    await list();
    expect(became).toEqual(['open', 'half_open', 'open', 'half_open', 'closed']);
    expect(logged).toEqual([
      'warn store_breaker_open',
      'info store_breaker_half_open',
      'warn store_breaker_open',
      'info store_breaker_half_open',
      'info store_breaker_closed',
    ]);
  });
});
