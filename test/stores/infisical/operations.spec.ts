import { ScopeBusy, StoreUnreachable } from '../../../src/errors/store-errors';
import type { LogEvent } from '../../../src/logging/log';
import { UNATTENDED } from '../../../src/secrets/secret';
import { SystemMonotonicTime, deadlineIn, remainingMs } from '../../../src/time/clock';
import { Operations } from '../../../src/stores/infisical/operations';
import { NO_OTHER_REPLICA, type ScopeLock } from '../../../src/concurrency/keyed-work';
import { CircuitBreakerSecretStore } from '../../../src/stores/resilience/circuit-breaker.secret-store';
import { StoreClient } from '../../support/store-client';
import { at, openStore } from './opened-store';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';

const { signal } = UNATTENDED;

describe('an operation on Infisical', () => {
  const time = new FixedMonotonicTime();
  const operations = new Operations(20_000, time, () => undefined, NO_OTHER_REPLICA);
  const leftMs = (deadline = UNATTENDED.deadline) =>
    remainingMs(operations.begin({ deadline, signal }).deadline, time);

  it('ends with the deadline of its caller, and after its own time at the latest', () => {
    expect(leftMs()).toBe(20_000);
    expect(leftMs(deadlineIn(17_000, time))).toBe(17_000);
    expect(leftMs(deadlineIn(60_000, time))).toBe(20_000);
  });
});

describe('a write to a scope that other replicas write to all the time', () => {
  it('is not begun, and says that nothing was changed', async () => {
    const busy: ScopeLock = { hold: async () => undefined };
    const operations = new Operations(20_000, new FixedMonotonicTime(), () => undefined, busy);
    let begun = 0;
    const writing = operations.writeSerialized(at(), UNATTENDED, async () => (begun += 1));
    await expect(writing).rejects.toThrow(ScopeBusy);
    await expect(writing).rejects.toThrow('nothing was changed');
    expect(begun).toBe(0);
  });
});

// ScopeBusy "says nothing about the backend": five in a row must not open the circuit breaker, which is everybody's.
describe('writes that wait for a slow one of their own workspace until no time is left', () => {
  it('are not sent, say that nothing was changed, and do not count as failures of Infisical', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3' }, { operationTimeoutMs: 6_000 });
    const states: string[] = [];
    const log: LogEvent = (_level, event) => void states.push(event);
    const around = { time: new SystemMonotonicTime(), log };
    const breaker = new StoreClient(new CircuitBreakerSecretStore(store.store, around));
    for (const workspace of ['ws', 'other']) {
      for (let i = 0; i < 4; i++) await breaker.create(at(workspace), { name: `k${i}`, value: 'v' });
      await breaker.list(at(workspace));
    }
    fake.calls.splice(0);
    // Carried out, as a read shows that is made at three quarters of the time.
    fake.fail({ method: 'PATCH', times: 2, fault: { kind: 'hang', when: 'after' } });
    const updates = ['ws', 'other'].flatMap((workspace) =>
      [0, 1, 2, 3].map((i) => breaker.update(at(workspace), { name: `k${i}`, value: 'w' })),
    );
    const ended = await Promise.all(updates.map((update) => update.catch((error: unknown) => error)));
    const busy = Array<unknown>(3).fill(expect.any(ScopeBusy));
    expect(ended).toEqual([undefined, ...busy, undefined, ...busy]);
    expect(fake.count('PATCH')).toBe(2);
    expect(states).toEqual([]);
    await breaker.update(at(), { name: 'k0', value: 'x' });
  });
});

describe('an operation of the store whose time is up', () => {
  it('sends nothing, whichever it is', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3' }, { operationTimeoutMs: 5_000 });
    await store.create(at(), { name: 'k', value: 'v' });
    const secret = { name: 'k', value: 'w' };
    const context = { deadline: deadlineIn(0, new SystemMonotonicTime()), signal };
    const { store: late } = store;
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      create: () => late.create(at(), { name: 'l', value: 'v' }, context),
      retrieve: () => late.retrieve(at(), 'k', context),
      update: () => late.update(at(), secret, context),
      delete: () => late.delete(at(), 'k', context),
      list: () => late.list(at(), context),
      readScope: () => late.readScope(at(), 'k', undefined, context),
      workspacesOf: () => late.workspacesOf('alice', context),
    };
    fake.calls.splice(0);
    for (const [name, call] of Object.entries(calls)) {
      const ended = call().catch((error: unknown) => error);
      expect([name, await ended]).toEqual([name, expect.any(StoreUnreachable)]);
    }
    expect(fake.calls).toEqual([]);
  });
});
