import { FixedClock } from '../support/fixed-clock';
import { type MonotonicTime, SystemMonotonicTime } from '../../src/time/clock';
import type { UserWorkspaces } from '../../src/secrets/secret-store';
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

  function replica(
    time: MonotonicTime,
    jobStorage: DeletionJobStorage = jobs,
    workspaces: UserWorkspaces = store,
  ) {
    const logged: string[] = [];
    const log = (_level: string, event: string) => void logged.push(event);
    const userDeprovisioning = deprovisioning({
      store,
      workspaces,
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
    const pass = (ms: number): void => {
      clock.advance(ms);
      time.advance(ms);
    };
    const waiting = [a.userDeprovisioning.userDeleted('alice')];
    pass(3000);
    waiting.push(a.userDeprovisioning.userDeleted('alice'));
    pass(3000);
    await b.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(b.logged).toContain('user_removal_done'));
    pass(3000);
    await b.userDeprovisioning.userCreated('alice');
    pass(1000);
    await store.create(WS, { name: 'k', value: 'of the new alice' });
    pass(3000);
    release();
    await Promise.all(waiting);
    await quiet(100);
    time.advance(600_000);
    await quiet(100);
    expect((await store.list(WS)).secrets).toEqual([{ name: 'k', value: 'of the new alice' }]);
  });

  /** Returns a view of an object that waits before one method, until it is released. */
  function slowAt<T extends object, M extends keyof T>(
    target: T,
    method: M,
    applies: (of: unknown) => boolean,
  ) {
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const inner = (target[method] as (...given: unknown[]) => Promise<unknown>).bind(target);
    const slow = async (...given: unknown[]): Promise<unknown> => {
      if (applies(given[0])) await released;
      return inner(...given);
    };
    return { slow: Object.assign(Object.create(target) as T, { [method]: slow }), release };
  }

  /** Has a new user of that name store a secret, and lets both the removals and the pauses between them pass. */
  async function storesAsNewUser(user: string, time: FixedMonotonicTime): Promise<() => Promise<unknown>> {
    users.come(user);
    const scope = { user, workspace: 'ws', environment: 'prod' } as const;
    await store.create(scope, { name: 'k', value: 'of the new user' });
    for (let second = 0; second < 5; second++) {
      time.advance(1_000);
      await quiet(10);
    }
    return async () => (await store.list(scope)).secrets;
  }

  it('keeps the secrets of a user who is back although a replica that was busy with another user still held the event', async () => {
    const time = new FixedMonotonicTime();
    await store.create({ ...WS, user: 'zoe' }, { name: 'k', value: 'v' });
    await store.create(WS, { name: 'k', value: 'of the old alice' });
    const [zoes] = await store.workspacesOf('zoe');
    const isZoes = (of: unknown): boolean => of === zoes;
    const { slow, release } = slowAt<UserWorkspaces, 'removeWorkspace'>(store, 'removeWorkspace', isZoes);
    slow.workspacesOf = async (user, context) => {
      if (user === 'alice' && !users.isHere('alice')) throw new StoreUnavailable();
      return store.workspacesOf(user, context);
    };
    const zoesEvent = { user: 'zoe', requestedAtMs: clock.nowMs() };
    await jobs.create({ id: 'removal-zoe', text: JSON.stringify(zoesEvent) });
    clock.advance(10);
    await jobs.create({
      id: 'removal-alice',
      text: JSON.stringify({ user: 'alice', requestedAtMs: clock.nowMs() }),
    });
    const a = replica(time, jobs, slow);
    await eventually(() => expect(a.logged).toContain('user_removal_started'));
    const b = replica(time);
    await eventually(() => expect(b.logged.filter((event) => event === 'user_removal_done')).toHaveLength(2));
    clock.advance(10);
    await b.userDeprovisioning.userCreated('alice');
    release();
    await eventually(() =>
      expect(a.logged.some((event) => /user_removal_(done|failed)/.test(event))).toBe(true),
    );
    await quiet(50);
    const secrets = await storesAsNewUser('alice', time);
    expect(await secrets()).toEqual([{ name: 'k', value: 'of the new user' }]);
  });

  it('keeps the secrets of a user who is back although an update of a slow replica undoes that the removal was done', async () => {
    const time = new FixedMonotonicTime();
    await store.create(WS, { name: 'k', value: 'of the old alice' });
    const { slow, release } = slowAt<DeletionJobStorage, 'update'>(jobs, 'update', () => true);
    const a = replica(time, slow);
    await a.userDeprovisioning.userDeleted('alice');
    await quiet(20);
    const b = replica(time);
    await eventually(() => expect(b.logged).toContain('user_removal_done'));
    clock.advance(10);
    await b.userDeprovisioning.userCreated('alice');
    const secrets = await storesAsNewUser('alice', time);
    users.go('alice');
    release();
    await eventually(() => expect(a.logged).toContain('user_removal_overtaken'));
    for (const one of [a, b]) one.userDeprovisioning.userIsGone('alice');
    time.advance(600_000);
    await quiet(50);
    expect(await secrets()).toEqual([{ name: 'k', value: 'of the new user' }]);
  });

  it('removes the secrets of a user who is deleted after the clock was set back', async () => {
    const { userDeprovisioning, logged } = replica(new FixedMonotonicTime());
    const isDone = (times: number) =>
      eventually(() => expect(logged.filter((event) => event === 'user_removal_done')).toHaveLength(times));
    await userDeprovisioning.userDeleted('alice');
    await isDone(1);
    clock.advance(600_000);
    await userDeprovisioning.userCreated('alice');
    await store.create(WS, { name: 'k', value: 'of the second alice' });
    clock.advance(-300_000);
    await userDeprovisioning.userDeleted('alice');
    await expect(userDeprovisioning.userCreated('alice')).rejects.toMatchObject({
      reason: 'USER_REMOVAL_PENDING',
    });
    await isDone(2);
    await userDeprovisioning.userCreated('alice');
    expect(await store.workspacesOf('alice')).toEqual([]);
    await store.create(WS, { name: 'k', value: 'of the third alice' });
    await userDeprovisioning.userDeleted('alice');
    await isDone(3);
    expect(await store.workspacesOf('alice')).toEqual([]);
  });

  it('lets the event of a user who is still there wait while the removal of an earlier one ends', async () => {
    const time = new FixedMonotonicTime();
    const { userDeprovisioning, logged } = replica(time);
    await store.create(WS, { name: 'k', value: 'of the old alice' });
    const remove = store.removeWorkspace.bind(store);
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    users.come('alice');
    await store.create({ ...WS, workspace: 'new' }, { name: 'k', value: 'of the new alice' });
    store.removeWorkspace = remove;
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_held'));
    expect(logged).toContain('user_removal_done');
    expect(await store.workspacesOf('alice')).toHaveLength(1);
    users.go('alice');
    await eventually(async () => expect(await store.workspacesOf('alice')).toEqual([]));
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
    expect(userDeprovisioning.pending).toBe(0);
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
