import { ScopeBusy, StoreUnreachable } from '../../../src/errors/store-errors';
import { UNATTENDED } from '../../../src/secrets/secret';
import { SystemMonotonicTime, deadlineIn, remainingMs } from '../../../src/time/clock';
import { Operations } from '../../../src/stores/infisical/operations';
import { NO_OTHER_REPLICA, type ScopeLock } from '../../../src/concurrency/keyed-work';
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
