import { deprovisioning } from '../../src/user-deprovisioning/user-deprovisioning';
import { ORDERS, DeletionJobs } from '../../src/user-deprovisioning/deletion-jobs';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { eventually } from '../support/eventually';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemorySecretStore } from '../support/memory.secret-store';
import { StatedUsers } from '../support/stated-users';

const HOUR_MS = 3_600_000;
const SWEEP_MS = 600_000;

describe('the orders of removals', () => {
  let store: MemorySecretStore;
  let clock: FixedClock;
  let time: FixedMonotonicTime;
  let told: string[];
  let parts: ReturnType<typeof deprovisioning>;
  let users: StatedUsers;

  beforeEach(() => {
    store = new MemorySecretStore();
    clock = new FixedClock();
    time = new FixedMonotonicTime();
    told = [];
    users = new StatedUsers();
    const log = (_: string, event: string) => void told.push(event);
    parts = deprovisioning({ store, clock, time, log, users });
    parts.background.onApplicationBootstrap();
  });
  afterEach(async () => {
    const stopped = parts.background.beforeApplicationShutdown();
    time.advance(10_000);
    await stopped;
  });

  const kept = async () => (await store.list(ORDERS)).length;
  /** One more look at the orders, to its end. */
  const sweep = async () => {
    const looks = () => store.calls.filter((call) => call.startsWith('list')).length;
    const before = looks();
    await eventually(() => {
      time.advance(SWEEP_MS);
      expect(looks()).toBeGreaterThan(before);
    });
    await new Promise((resolve) => setImmediate(resolve));
  };

  it('are kept for an hour when done, and then cleaned up', async () => {
    await parts.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(told).toContain('user_removal_done'));
    clock.advance(HOUR_MS);
    await sweep();
    expect(await kept()).toBe(1);
    clock.advance(1);
    await sweep();
    await eventually(() => expect(store.calls.some((call) => call.startsWith('delete'))).toBe(true));
    expect(await kept()).toBe(0);
  });

  it('that are not done are kept for however long', async () => {
    store.workspacesOf = () => Promise.reject(new StoreUnavailable());
    await parts.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(told).toContain('user_removal_failed'));
    clock.advance(100 * HOUR_MS);
    await sweep();
    expect(await kept()).toBe(1);
  });

  it('are done only once that is written down: a store that fails then is tried again', async () => {
    const update = store.update.bind(store);
    let failing = true;
    store.update = async (scope, secret) => {
      if (failing && secret.value.includes('doneAtMs')) throw new StoreUnavailable();
      await update(scope, secret);
    };
    await parts.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(told).toContain('user_removal_failed'));
    expect(told).not.toContain('user_removal_done');
    failing = false;
    await eventually(() => {
      time.advance(1_000);
      expect(told).toContain('user_removal_done');
    });
  });

  it('that another replica dropped meanwhile are no failure; a store that cannot drop is one', async () => {
    const orders = new DeletionJobs(store, clock, () => undefined);
    const order = orders.newOrder('bob');
    await expect(orders.drop(order)).resolves.toBeUndefined();
    await expect(orders.confirm([order])).resolves.toBeUndefined();
    store.failure = new StoreUnavailable();
    await expect(orders.drop(order)).rejects.toBe(store.failure);
    await expect(orders.confirm([order])).rejects.toBe(store.failure);
    store.failure = undefined;
  });

  const AT = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
  /** As Infisical shows a project that our identity was taken out of: it is listed no more, and not removed. */
  const takeOut = async () => {
    const [lost] = await store.workspacesOf('alice');
    const workspacesOf = MemorySecretStore.prototype.workspacesOf.bind(store);
    const removeWorkspace = MemorySecretStore.prototype.removeWorkspace.bind(store);
    store.workspacesOf = async (user) => (await workspacesOf(user)).filter(({ id }) => id !== lost?.id);
    store.removeWorkspace = ({ id }) =>
      id === lost?.id ? Promise.reject(new StoreUnavailable()) : removeWorkspace({ id });
  };
  const restart = async () => {
    const stopped = parts.background.beforeApplicationShutdown();
    time.advance(10_000);
    await stopped;
    told = [];
    users = new StatedUsers();
    const log = (_: string, event: string) => void told.push(event);
    parts = deprovisioning({ store, clock, time, log, users });
    parts.background.onApplicationBootstrap();
  };

  it('name what was found: what the store loses sight of stays due for the next process', async () => {
    await store.create(AT, { name: 'k', value: 'v' });
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    await parts.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(told).toContain('user_removal_failed'));
    await takeOut();
    await restart();
    await eventually(() => expect(told).toContain('user_removal_failed'));
    expect(told).not.toContain('user_removal_done');
    store.removeWorkspace = MemorySecretStore.prototype.removeWorkspace.bind(store);
    await eventually(() => {
      time.advance(1_000);
      expect(told).toContain('user_removal_done');
    });
    expect(await store.list(AT)).toEqual([]);
  });

  it('do not ask again for what is gone, and take the rest before what is out of sight', async () => {
    await store.create(AT, { name: 'k', value: 'v' });
    const removed = () => store.calls.filter((call) => call.startsWith('removeWorkspace')).length;
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    await parts.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(told).toContain('user_removal_failed'));
    await takeOut();
    await store.create({ ...AT, workspace: 'late' }, { name: 'k', value: 'v' });
    await restart();
    await eventually(() => expect(told).toContain('user_removal_failed'));
    expect(removed()).toBe(1);
    await restart();
    await eventually(() => expect(told).toContain('user_removal_failed'));
    expect(removed()).toBe(1);
  });

  it('that took so long that a new user of that name is there remove what was found, and nothing of the new one', async () => {
    await store.create(AT, { name: 'k', value: 'v' });
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    await parts.userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(told).toContain('user_removal_failed'));
    await restart();
    users.come('alice');
    const fresh = { ...AT, workspace: 'of-the-new-user' };
    await store.create(fresh, { name: 'k', value: 'new' });
    store.removeWorkspace = MemorySecretStore.prototype.removeWorkspace.bind(store);
    await eventually(() => {
      time.advance(1_000);
      expect(told).toContain('user_removal_done');
    });
    expect(await store.list(AT)).toEqual([]);
    expect(await store.retrieve(fresh, 'k')).toEqual({ name: 'k', value: 'new' });
  });

  it('of the version before, which name nothing, and with a field that is no list of ids, are carried out', async () => {
    const order = { user: 'alice', requestedAtMs: clock.nowMs() };
    await store.create(AT, { name: 'k', value: 'v' });
    await store.create(ORDERS, { name: 'removal-old', value: JSON.stringify(order) });
    await store.create(ORDERS, { name: 'removal-odd', value: JSON.stringify({ ...order, found: [7] }) });
    await restart();
    await eventually(() => expect(told).toContain('user_removal_done'));
    expect(told).not.toContain('user_removal_failed');
    expect(await store.list(AT)).toEqual([]);
  });
});
