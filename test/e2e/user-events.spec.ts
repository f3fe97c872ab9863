import { UNATTENDED } from '../../src/secrets/secret';
import type { CompleteSecretStore } from '../../src/secrets/secret-store';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../../src/config/settings';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { PeerVerifier } from '../../src/authn/peer-verifier';
import type { DeletionJobStorage } from '../../src/user-deprovisioning/deletion-jobs';
import { shutDown } from '../../src/bootstrap/application';
import { EmbeddedSecretStore } from '../../src/stores/embedded/embedded.secret-store';
import { eventually } from '../support/eventually';
import { exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall } from '../support/http-call';
import { MemoryDeletionJobStorage } from '../support/memory.deletion-job-storage';
import { MemorySecretStore } from '../support/memory.secret-store';
import { StatedUsers } from '../support/stated-users';
import { startService, TEST_SETTINGS, type Service } from '../support/service';

const SENDER = 'the-sender';
const IN_CLUSTER: Partial<Settings> = {
  grants: { kind: 'kubernetes', feeds: ['application-permissions'], environment: {}, maxAgeMs: 600_000, audience: 'a', trustedServiceAccounts: [], systemServerProof: 'address', systemEventServiceAccounts: [], settingsServiceAccounts: [], olares: { release: 'up-to-1.12.0', leftovers: 'deny' }, staticGrants: [] },
}; // prettier-ignore

class OneSender extends PeerVerifier {
  provesSystemServer(): boolean {
    return false;
  }
  trustedServiceAccountOf(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
  provesEventSender({ bearer }: { bearer: string | undefined }): Promise<boolean> {
    return Promise.resolve(bearer === SENDER);
  }
  provesSettings(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

/** The user of the place where versions up to 0.2.0 kept deletion jobs. */
const EARLIER_JOBS_USER = 'olares-secret-provider/departed-users'.padEnd(300, '/');

const at = (user: string, workspace = 'ws') => ({ user, workspace, environment: 'prod' }) as const;

describe('system events of users', () => {
  const clock = new FixedClock();
  let time: FixedMonotonicTime;
  let store: MemorySecretStore;
  let jobs: MemoryDeletionJobStorage;
  const services: Service[] = [];
  beforeEach(() => {
    time = new FixedMonotonicTime();
    store = new MemorySecretStore();
    jobs = new MemoryDeletionJobStorage();
  });
  afterEach(async () => Promise.all(services.splice(0).map(async (service) => service.close())));

  const start = async (
    on: CompleteSecretStore = store,
    settings: Partial<Settings> = {},
    deletionJobs: DeletionJobStorage = jobs,
  ): Promise<Service> => {
    const adapters = {
      clock,
      time,
      store: on,
      deletionJobs,
      grantSource: exampleApps(),
      peerVerifier: new OneSender(),
      // Only a cluster knows its users.
      ...(settings.grants === undefined && { users: new StatedUsers() }),
    };
    const service = await startService(adapters, { ...IN_CLUSTER, ...settings });
    services.push(service);
    return service;
  };
  const event = (service: Service, path: string, body: object, headers: Record<string, string> = {}) =>
    httpCall(`${service.url}/user/${path}`, {
      body,
      headers: { authorization: `Bearer ${SENDER}`, 'x-request-id': 'r', ...headers },
    });
  const fill = async (...users: string[]) => {
    for (const user of users)
      for (const workspace of ['ws', 'other'])
        await store.create(at(user, workspace), { name: 'k', value: 'canary' });
  };
  const events = (service: Service, user: string) =>
    service.logLines().filter((line) => line['user'] === user).map((line) => line['msg']); // prettier-ignore
  const done = (service: Service, user: string) =>
    eventually(() => expect(events(service, user)).toContain('user_removal_done'));
  const stored = async (on: DeletionJobStorage = jobs) => (await on.list()).map(({ text }) => JSON.parse(text)); // prettier-ignore

  it('store a deletion job, answer, and remove the deleted user in the background; other users stay', async () => {
    const service = await start();
    await fill('alice', 'alice-b', 'bob');
    const answer = await event(service, 'delete', { name: 'alice', email: 'a@x', more: { any: 'thing' } });
    expect([answer.status, answer.body]).toEqual([200, { code: 200, message: '', data: '' }]);
    await done(service, 'alice');
    expect(events(service, 'alice')).toEqual([
      'user_removal_started', 'user_removal_progress', 'user_removal_progress', 'user_removal_done',
    ]); // prettier-ignore
    expect((await store.list(at('alice'))).secrets).toEqual([]);
    expect((await store.list(at('alice-b'))).secrets).toHaveLength(1);
    expect((await store.list(at('bob'))).secrets).toHaveLength(1);
    expect(service.log()).not.toContain('canary');
    await event(service, 'delete', { name: 'alice', email: '' });
    await eventually(() =>
      expect(events(service, 'alice').filter((e) => e === 'user_removal_done')).toHaveLength(2),
    );
  });

  it('are accepted from the proven sender only, and no job is stored for others', async () => {
    const service = await start();
    await eventually(() => expect(jobs.calls).toEqual(['list']));
    for (const headers of [
      { authorization: '' },
      { authorization: 'Bearer other' },
      { authorization: SENDER },
      { 'x-forwarded-for': '10.0.0.1' },
      { authorization: 'Bearer other', 'x-bfl-user': 'alice', 'x-authorization': 'x', 'x-access-token': 'x' },
    ] as Record<string, string>[]) {
      // prettier-ignore
      for (const path of ['delete', 'create']) {
        const answer = await event(service, path, { name: 'alice' }, headers);
        expect([headers, answer.status, answer.body.data.reason]).toEqual([headers, 401, 'UNAUTHENTICATED']);
      }
    }
    expect(jobs.calls).toEqual(['list']);
    expect(await stored()).toEqual([]);
  });

  it.each([{}, { name: '' }, { name: 'a/b' }, { name: 7 }, { name: ['a'] }, { name: 'a'.repeat(254) }, { name: EARLIER_JOBS_USER }])(
    'a body without one plain name is refused: %j',
    async (body) => {
      const service = await start();
      for (const path of ['delete', 'create']) expect((await event(service, path, body)).status).toBe(400);
      expect(await stored()).toEqual([]);
    },
  ); // prettier-ignore

  it('keep the status of a failure in the sidecar style too, since the sender reads nothing else', async () => {
    const service = await start(store, { responseStyle: 'sidecar' });
    expect((await event(service, 'create', { name: 'alice' })).body).toEqual({
      code: 0,
      message: '',
      data: '',
    });
    jobs.failure = new StoreUnavailable();
    expect((await event(service, 'delete', { name: 'alice' })).status).toBe(503);
    expect((await event(service, 'create', { name: 'alice' })).status).toBe(503);
    jobs.failure = undefined;
    expect(await stored()).toEqual([]);
  });

  it('retry a store that fails in the middle, and refuse a new user of that name meanwhile', async () => {
    const service = await start();
    await fill('alice');
    const remove = store.removeWorkspace.bind(store);
    let broken = true;
    let calls = 0;
    store.removeWorkspace = async (workspace) => {
      calls += 1;
      if (broken && calls > 1) throw new StoreUnavailable();
      await remove(workspace);
    };
    await event(service, 'delete', { name: 'alice' });
    await eventually(() => expect(events(service, 'alice')).toContain('user_removal_failed'));
    const answer = await event(service, 'create', { name: 'alice' });
    expect([answer.status, answer.body.data.reason]).toEqual([503, 'USER_REMOVAL_PENDING']);
    broken = false;
    // Once it is back, the pause after the failure is all that is waited for.
    await eventually(() => {
      time.advance(1000);
      expect(events(service, 'alice')).toContain('user_removal_done');
    });
    expect((await event(service, 'create', { name: 'alice' })).status).toBe(200);
    expect((await store.list(at('alice', 'other'))).secrets).toEqual([]);
  });

  it('remove nothing by a job that is found after the user is back', async () => {
    const service = await start();
    await event(service, 'delete', { name: 'alice' });
    await done(service, 'alice');
    const late = { user: 'alice', requestedAtMs: clock.nowMs() };
    clock.advance(1000);
    expect((await event(service, 'create', { name: 'alice' })).status).toBe(200);
    await fill('alice');
    await jobs.create({ id: 'removal-late', text: JSON.stringify(late) });
    time.advance(600_000);
    await eventually(() => expect(events(service, 'alice')).toContain('user_removal_job_too_late'));
    expect((await store.list(at('alice'))).secrets).toHaveLength(1);
    expect((await event(service, 'create', { name: 'alice' })).status).toBe(200);
  });

  it('keep what was created after a fast replica was done and the user was back, also on a slow replica', async () => {
    await fill('alice');
    const [slow, fast] = [await start(), await start()];
    const found = store.workspacesOf.bind(store);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let looks = 0;
    store.workspacesOf = async (user) => {
      looks += 1;
      if (looks > 1) return found(user);
      // The first look, of the replica that heard the event, is answered late, with what is there then.
      await held;
      return found(user);
    };
    await event(slow, 'delete', { name: 'alice' });
    await eventually(() => expect(looks).toBe(1));
    time.advance(600_000);
    await done(fast, 'alice');
    clock.advance(1000);
    expect((await event(fast, 'create', { name: 'alice' })).status).toBe(200);
    await fill('alice');
    release();
    await eventually(() => expect(events(slow, 'alice')).toContain('user_removal_overtaken'));
    expect((await store.list(at('alice'))).secrets).toHaveLength(1);
  });

  it('continue after a restart where the last process stopped', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'deprovisioning-'));
    const open = () => EmbeddedSecretStore.open({ dataDir: folder, masterKey: new Uint8Array(32).fill(7) });
    const first = await open();
    for (let i = 0; i < 5; i++)
      await first.create(at('alice', `w${i}`), { name: 'k', value: 'v' }, UNATTENDED);
    const remove = first.removeWorkspace.bind(first);
    let removed = 0;
    first.removeWorkspace = async (workspace) => {
      removed += 1;
      if (removed > 2) throw new StoreUnavailable();
      await remove(workspace);
    };
    const before = await start(first, {}, first.deletionJobs);
    expect((await event(before, 'delete', { name: 'alice' })).status).toBe(200);
    await eventually(() => expect(events(before, 'alice')).toContain('user_removal_failed'));
    services.splice(0);
    await shutDown(before.app);

    const second = await open();
    expect(await second.workspacesOf('alice')).toHaveLength(3);
    const after = await start(second, {}, second.deletionJobs);
    await done(after, 'alice');
    expect(await second.workspacesOf('alice')).toEqual([]);
    expect((await event(after, 'create', { name: 'alice' })).status).toBe(200);
    services.splice(0);
    await shutDown(after.app);
    rmSync(folder, { recursive: true });
  });

  it('are refused without a cluster, and no job is searched for', async () => {
    const service = await start(store, { grants: TEST_SETTINGS.grants });
    expect([store.calls, jobs.calls]).toEqual([[], []]);
    expect((await event(service, 'delete', { name: 'alice' }, { authorization: '' })).status).toBe(401);
  });
});
