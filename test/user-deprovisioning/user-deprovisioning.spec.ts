import { FixedClock } from '../support/fixed-clock';
import { type MonotonicTime, SystemMonotonicTime } from '../../src/time/clock';
import { deprovisioning } from '../../src/user-deprovisioning/user-deprovisioning.module';
import { IdentityUnavailable } from '../../src/errors/request-errors';
import { StoreOutcomeUnknown, StoreUnavailable } from '../../src/errors/store-errors';
import type { DeletionJobStorage } from '../../src/user-deprovisioning/deletion-jobs';
import { eventually } from '../support/eventually';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { StatedUsers } from '../support/stated-users';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';
import { MemorySecretStore } from '../support/memory.secret-store';

const WS = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
const quiet = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('UserDeprovisioning', () => {
  let store: MemorySecretStore;
  let jobs: MemoryDeletionJobStorage;
  let clock: FixedClock;
  let stops: (() => Promise<void>)[];
  let users: StatedUsers;
  beforeEach(() => {
    store = new MemorySecretStore();
    jobs = new MemoryDeletionJobStorage();
    clock = new FixedClock();
    stops = [];
    users = new StatedUsers();
  });
  afterEach(async () => {
    for (const stop of stops) await stop();
  });

  function replica(time: MonotonicTime, jobStorage: DeletionJobStorage = jobs) {
    const logged: string[] = [];
    const log = (_level: string, event: string) => void logged.push(event);
    const userDeprovisioning = deprovisioning({
      store,
      workspaces: store,
      jobStorage,
      clock,
      time,
      log,
      users,
    });
    userDeprovisioning.onApplicationBootstrap();
    stops.push(() => userDeprovisioning.beforeApplicationShutdown());
    return { userDeprovisioning, stop: () => userDeprovisioning.beforeApplicationShutdown(), logged };
  }

  it.each(['a completion whose outcome is unknown', 'another replica that was faster'])(
    'makes no busy loop after %s',
    async (what) => {
      const one = replica(new SystemMonotonicTime());
      await store.create(WS, { name: 'k', value: 'v' });
      const [update, remove] = [jobs.update.bind(jobs), store.removeWorkspace.bind(store)];
      if (what === 'a completion whose outcome is unknown') {
        jobs.update = async (job) => {
          await update(job);
          // The first update confirms the job, the second completes it.
          if (!job.text.includes('doneAtMs')) return;
          jobs.update = update;
          throw new StoreOutcomeUnknown();
        };
      } else {
        store.removeWorkspace = async () => {
          throw new StoreUnavailable();
        };
      }
      await one.userDeprovisioning.userDeleted('alice');
      await eventually(() => expect(one.logged).toContain('user_removal_failed'));
      store.removeWorkspace = remove;
      const other = replica(new SystemMonotonicTime());
      if (what !== 'a completion whose outcome is unknown')
        await eventually(() => expect(other.logged).toContain('user_removal_done'));
      await other.stop();
      await quiet(1500);
      const before = jobs.calls.length;
      await quiet(500);
      expect(jobs.calls.length - before).toBeLessThan(5);
    },
  );

  it('keeps the secrets of a user who is back although a slow replica still holds an older event', async () => {
    const time = new FixedMonotonicTime();
    const slow: DeletionJobStorage = Object.create(jobs) as DeletionJobStorage;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let first = true;
    slow.create = async (job) => {
      if (first) {
        first = false;
        await held;
      }
      await jobs.create(job);
    };
    const [a, b] = [replica(time, slow), replica(time)];
    const waiting = [a.userDeprovisioning.userDeleted('alice')];
    clock.advance(3000);
    waiting.push(a.userDeprovisioning.userDeleted('alice'));
    clock.advance(3000);
    await b.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(b.logged).toContain('user_removal_done'));
    clock.advance(3000);
    await b.userDeprovisioning.userCreated('alice');
    clock.advance(1000);
    await store.create(WS, { name: 'k', value: 'of the new alice' });
    clock.advance(3000);
    release();
    await Promise.all(waiting);
    await quiet(100);
    time.advance(600_000);
    await quiet(100);
    expect((await store.list(WS)).secrets).toEqual([{ name: 'k', value: 'of the new alice' }]);
  });

  it('removes nothing on an event alone and waits until the cluster has no such user', async () => {
    const time = new FixedMonotonicTime();
    users.come('alice');
    const { userDeprovisioning, logged } = replica(time);
    await store.create(WS, { name: 'k', value: 'v' });
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_held'));
    for (let minute = 0; minute < 30; minute++) {
      time.advance(60_000);
      await quiet(5);
    }
    expect(logged).toEqual(['user_removal_held']);
    expect((await store.list(WS)).secrets).toHaveLength(1);
    // A workspace that the old user's apps write meanwhile is removed too.
    await store.create({ ...WS, workspace: 'late' }, { name: 'k', value: 'v' });
    await expect(userDeprovisioning.userCreated('alice')).rejects.toMatchObject({
      reason: 'USER_REMOVAL_PENDING',
    });
    await quiet(100);
    users.go('alice');
    await eventually(() => expect(logged).toContain('user_removal_done'));
    expect(await store.workspacesOf('alice')).toEqual([]);
  });

  it('continues a confirmed removal although a new user of that name exists', async () => {
    const time = new FixedMonotonicTime();
    const one = replica(time);
    await store.create(WS, { name: 'k', value: 'of the old alice' });
    const remove = store.removeWorkspace.bind(store);
    store.removeWorkspace = async () => {
      throw new StoreUnavailable();
    };
    await one.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(one.logged).toContain('user_removal_failed'));
    users.come('alice');
    store.removeWorkspace = remove;
    await eventually(() => {
      time.advance(1000);
      expect(one.logged).toContain('user_removal_done');
    });
    expect((await store.list(WS)).secrets).toEqual([]);
  });

  it('removes nothing while the cluster does not answer', async () => {
    users.isHere = () => {
      throw new IdentityUnavailable('The Kubernetes API server');
    };
    const { userDeprovisioning, logged } = replica(new FixedMonotonicTime());
    await store.create(WS, { name: 'k', value: 'v' });
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    expect((await store.list(WS)).secrets).toHaveLength(1);
  });
});
