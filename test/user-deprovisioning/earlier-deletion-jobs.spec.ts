import { StoreUnavailable } from '../../src/errors/store-errors';
import { DeletionJobs } from '../../src/user-deprovisioning/deletion-jobs';
import { EarlierDeletionJobs } from '../../src/user-deprovisioning/user-deletion';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';
import { MemorySecretStore } from '../support/memory.secret-store';

/** As version 0.2.0 has it, so that a change of the service's own constant is seen. */
const EARLIER_SCOPE = {
  user: `olares-secret-provider/departed-users${'/'.repeat(263)}`,
  workspace: 'removal-orders',
  environment: 'prod',
} as const;
const HOUR_MS = 3_600_000;

describe('the deletion jobs of versions up to 0.2.0', () => {
  let store: MemorySecretStore;
  let storage: MemoryDeletionJobStorage;
  let time: FixedMonotonicTime;
  let logged: string[];
  beforeEach(async () => {
    store = new MemorySecretStore();
    storage = new MemoryDeletionJobStorage();
    time = new FixedMonotonicTime();
    logged = [];
    for (const user of ['alice', 'bob'])
      await store.create(EARLIER_SCOPE, {
        name: `removal-${user}`,
        value: JSON.stringify({ user, requestedAtMs: 1 }),
      });
  });

  const replica = (): DeletionJobs => {
    const log = (_level: string, event: string, fields = {}) =>
      void logged.push(`${event} ${JSON.stringify(fields)}`);
    return new DeletionJobs(
      storage,
      new EarlierDeletionJobs(store, storage, time, log),
      new FixedClock(),
      time,
      log,
    );
  };
  const earlier = async () => (await store.list(EARLIER_SCOPE)).secrets;

  it('are due after the first read, and are gone from where they were', async () => {
    expect(EARLIER_SCOPE.user).toHaveLength(300);
    expect((await replica().read()).usersDue()).toEqual(['alice', 'bob']);
    expect(await earlier()).toEqual([]);
    expect(logged).toEqual(['user_removal_jobs_carried_over {"count":2}']);
  });

  it('are all known before a new user of that name is acknowledged', async () => {
    store.failure = new StoreUnavailable();
    await expect(replica().read()).rejects.toBe(store.failure);
    expect(storage.calls).toEqual([]);
    store.failure = undefined;
  });

  it.each([
    ['stored the first', 1],
    ['deleted the first', 2],
    ['stored the second', 3],
    ['deleted the second', 4],
  ])('are neither lost nor doubled by a process that ends when it has %s', async (_when, steps) => {
    let left = steps;
    const step = async (write: Promise<void>): Promise<void> => {
      await write;
      if ((left -= 1) === 0) throw new Error('the process has ended');
    };
    const dying = Object.create(store) as MemorySecretStore;
    dying.delete = (scope, name) => step(store.delete(scope, name));
    const dyingStorage = Object.create(storage) as MemoryDeletionJobStorage;
    dyingStorage.create = (job) => step(storage.create(job));
    const carrying = new EarlierDeletionJobs(dying, dyingStorage, time, () => undefined).carryOver();
    await expect(carrying).rejects.toThrow('the process has ended');
    const known = [
      ...(await storage.list()).map(({ id }) => id),
      ...(await earlier()).map(({ name }) => name),
    ];
    expect(new Set(known)).toEqual(new Set(['removal-alice', 'removal-bob']));
    expect((await replica().read()).usersDue()).toEqual(['alice', 'bob']);
    expect(await storage.list()).toHaveLength(2);
    expect(await earlier()).toEqual([]);
  });

  it('keep in the new place what has happened to them there', async () => {
    const jobs = replica();
    const alices = (await jobs.read()).dueOf('alice');
    await jobs.complete('alice', alices);
    await store.create(EARLIER_SCOPE, {
      name: 'removal-alice',
      value: JSON.stringify({ user: 'alice', requestedAtMs: 1 }),
    });
    expect((await replica().read()).usersDue()).toEqual(['bob']);
    expect(await earlier()).toEqual([]);
  });

  it('are carried over by two replicas at once without a failure', async () => {
    const snapshots = await Promise.all([replica().read(), replica().read()]);
    expect(snapshots.map((snapshot) => snapshot.usersDue())).toEqual([
      ['alice', 'bob'],
      ['alice', 'bob'],
    ]);
    expect(await earlier()).toEqual([]);
  });

  it('are looked for during an hour, in which a replica of the old version may still write some, and then no more', async () => {
    const jobs = replica();
    await jobs.read();
    const late = { name: 'removal-late', value: JSON.stringify({ user: 'carol', requestedAtMs: 2 }) };
    time.advance(HOUR_MS - 1);
    await store.create(EARLIER_SCOPE, late);
    expect((await jobs.read()).usersDue()).toEqual(['alice', 'bob', 'carol']);
    time.advance(1);
    const calls = store.calls.length;
    await jobs.read();
    expect(store.calls).toHaveLength(calls);
  });

  it('are carried over later, too, where the store did not answer during the first hour', async () => {
    const jobs = replica();
    time.advance(2 * HOUR_MS);
    expect((await jobs.read()).usersDue()).toEqual(['alice', 'bob']);
  });
});
