import { deprovisioning } from '../../src/user-deprovisioning/user-deprovisioning.module';
import { EarlierDeletionJobs } from '../../src/user-deprovisioning/user-deletion';
import { DeletionJobs } from '../../src/user-deprovisioning/deletion-jobs';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { eventually } from '../support/eventually';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';
import { MemorySecretStore } from '../support/memory.secret-store';
import { StatedUsers } from '../support/stated-users';

const HOUR_MS = 3_600_000;
const SWEEP_MS = 600_000;

describe('DeletionJobs', () => {
  let store: MemorySecretStore;
  let storage: MemoryDeletionJobStorage;
  let clock: FixedClock;
  let time: FixedMonotonicTime;
  let logged: string[];
  let userDeprovisioning: ReturnType<typeof deprovisioning>;
  let users: StatedUsers;

  const begin = (): void => {
    logged = [];
    users = new StatedUsers();
    const log = (_: string, event: string) => void logged.push(event);
    userDeprovisioning = deprovisioning({
      store,
      workspaces: store,
      jobStorage: storage,
      clock,
      time,
      log,
      users,
    });
    userDeprovisioning.onApplicationBootstrap();
  };
  beforeEach(() => {
    store = new MemorySecretStore();
    storage = new MemoryDeletionJobStorage();
    clock = new FixedClock();
    time = new FixedMonotonicTime();
    begin();
  });
  afterEach(async () => {
    const stopped = userDeprovisioning.beforeApplicationShutdown();
    time.advance(10_000);
    await stopped;
  });

  const earlierJobs = () => new EarlierDeletionJobs(store, storage, time, () => undefined);
  const kept = async () => (await storage.list()).length;
  /** Lets the worker read the jobs once more and waits for the end. */
  const sweep = async () => {
    const looks = () => storage.calls.filter((call) => call === 'list').length;
    const before = looks();
    await eventually(() => {
      time.advance(SWEEP_MS);
      expect(looks()).toBeGreaterThan(before);
    });
    await new Promise((resolve) => setImmediate(resolve));
  };

  it('keeps a done job for an hour and then deletes it', async () => {
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_done'));
    clock.advance(HOUR_MS);
    await sweep();
    expect(await kept()).toBe(1);
    clock.advance(1);
    await sweep();
    await eventually(() => expect(storage.calls).toContain('delete'));
    expect(await kept()).toBe(0);
  });

  it('keeps an unfinished job for any time', async () => {
    store.workspacesOf = () => Promise.reject(new StoreUnavailable());
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    clock.advance(100 * HOUR_MS);
    await sweep();
    expect(await kept()).toBe(1);
  });

  it('tries a removal again when the store fails to record its end', async () => {
    const update = storage.update.bind(storage);
    let failing = true;
    storage.update = async (job) => {
      if (failing && job.text.includes('doneAtMs')) throw new StoreUnavailable();
      await update(job);
    };
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    expect(logged).not.toContain('user_removal_done');
    failing = false;
    await eventually(() => {
      time.advance(1_000);
      expect(logged).toContain('user_removal_done');
    });
  });

  it('ignores a job that another replica has deleted, but not a store that fails', async () => {
    const jobs = new DeletionJobs(storage, earlierJobs(), clock, time, () => undefined);
    const { job } = jobs.newJob('bob');
    await expect(jobs.delete(job)).resolves.toBeUndefined();
    await expect(jobs.confirm([job])).resolves.toBeUndefined();
    storage.failure = new StoreUnavailable();
    await expect(jobs.delete(job)).rejects.toBe(storage.failure);
    await expect(jobs.confirm([job])).rejects.toBe(storage.failure);
    storage.failure = undefined;
  });

  const AT = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
  /** Hides a workspace, as Infisical does a project from which our identity was removed: it is not listed and cannot be removed. */
  const hideWorkspace = async () => {
    const [lost] = await store.workspacesOf('alice');
    const workspacesOf = MemorySecretStore.prototype.workspacesOf.bind(store);
    const removeWorkspace = MemorySecretStore.prototype.removeWorkspace.bind(store);
    store.workspacesOf = async (user) => (await workspacesOf(user)).filter((id) => id !== lost);
    store.removeWorkspace = (id) =>
      id === lost ? Promise.reject(new StoreUnavailable()) : removeWorkspace(id);
  };
  const restart = async () => {
    const stopped = userDeprovisioning.beforeApplicationShutdown();
    time.advance(10_000);
    await stopped;
    begin();
  };

  it('records the workspaces found, so that one the store no longer lists stays due for the next process', async () => {
    await store.create(AT, { name: 'k', value: 'v' });
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    await hideWorkspace();
    await restart();
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    expect(logged).not.toContain('user_removal_done');
    store.removeWorkspace = MemorySecretStore.prototype.removeWorkspace.bind(store);
    await eventually(() => {
      time.advance(1_000);
      expect(logged).toContain('user_removal_done');
    });
    expect((await store.list(AT)).secrets).toEqual([]);
  });

  it('does not remove a workspace twice, and removes the listed ones before one that is no longer listed', async () => {
    await store.create(AT, { name: 'k', value: 'v' });
    const removed = () => store.calls.filter((call) => call.startsWith('removeWorkspace')).length;
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    await hideWorkspace();
    await store.create({ ...AT, workspace: 'late' }, { name: 'k', value: 'v' });
    await restart();
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    expect(removed()).toBe(1);
    await restart();
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    expect(removed()).toBe(1);
  });

  it('removes only the recorded workspaces when a new user of that name exists before the removal is done', async () => {
    await store.create(AT, { name: 'k', value: 'v' });
    store.removeWorkspace = () => Promise.reject(new StoreUnavailable());
    await userDeprovisioning.userDeleted('alice');
    await eventually(() => expect(logged).toContain('user_removal_failed'));
    await restart();
    users.come('alice');
    const fresh = { ...AT, workspace: 'of-the-new-user' };
    await store.create(fresh, { name: 'k', value: 'new' });
    store.removeWorkspace = MemorySecretStore.prototype.removeWorkspace.bind(store);
    await eventually(() => {
      time.advance(1_000);
      expect(logged).toContain('user_removal_done');
    });
    expect((await store.list(AT)).secrets).toEqual([]);
    expect((await store.retrieve(fresh, 'k')).secret).toEqual({ name: 'k', value: 'new' });
  });

  it('carries out a job of an older version without recorded workspaces, and one whose list of ids is invalid', async () => {
    const job = { user: 'alice', requestedAtMs: clock.nowMs() };
    await store.create(AT, { name: 'k', value: 'v' });
    await storage.create({ id: 'removal-old', text: JSON.stringify(job) });
    await storage.create({ id: 'removal-odd', text: JSON.stringify({ ...job, found: [7] }) });
    await restart();
    await eventually(() => expect(logged).toContain('user_removal_done'));
    expect(logged).not.toContain('user_removal_failed');
    expect((await store.list(AT)).secrets).toEqual([]);
  });
});
