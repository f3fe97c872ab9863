import { StoreUnreachable } from '../../../src/errors/store-errors';
import { afterWaiting } from '../../../src/secrets/secret-store-decorator';
import { remainingMs } from '../../../src/time/deadline';
import { Operations } from '../../../src/stores/infisical/operations';
import { NO_OTHER_REPLICA } from '../../../src/concurrency/keyed-mutex';
import { at, openStore } from './opened-store';
import { FixedMonotonicTime } from '../../support/fixed-monotonic-time';

describe('an operation on Infisical', () => {
  const time = new FixedMonotonicTime();
  const operations = new Operations(20_000, time, () => undefined, NO_OTHER_REPLICA);
  const leftMs = () => operations.run(async (deadline) => remainingMs(deadline, time));

  it('has its whole time, less what it waited for its turn before', async () => {
    expect(await leftMs()).toBe(20_000);
    expect(await afterWaiting(3_000, leftMs)).toBe(17_000);
    expect(await leftMs()).toBe(20_000);
  });
});

describe('an operation of the store that waited for its turn', () => {
  it('has so much less time, whichever it is', async () => {
    const { fake, store } = await openStore({ apiVersion: 'v3' }, { operationTimeoutMs: 5_000 });
    await store.create(at(), { name: 'k', value: 'v' });
    const secret = { name: 'k', value: 'w' };
    const calls = {
      create: () => store.create(at(), { name: 'l', value: 'v' }),
      retrieve: () => store.retrieve(at(), 'k'),
      update: () => store.update(at(), secret),
      delete: () => store.delete(at(), 'k'),
      list: () => store.list(at()),
      readScope: () => store.readScope(at(), 'k'),
      workspacesOf: () => store.workspacesOf('alice'),
    };
    fake.calls.splice(0);
    for (const [name, call] of Object.entries(calls)) {
      const ended = afterWaiting(5_000, call as () => Promise<unknown>).catch((error: unknown) => error);
      expect([name, await ended]).toEqual([name, expect.any(StoreUnreachable)]);
    }
    expect(fake.calls).toEqual([]);
  });
});
