import { GrantsUnavailable } from '../../src/errors/request-errors';
import { SystemMonotonicTime, type MonotonicTime } from '../../src/time/clock';
import { GrantsService } from '../../src/authz/grants.service';
import type { KubernetesGrantSource } from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import type { Caller } from '../../src/authn/caller';
import { type AppToInstall, describeGrantSource } from '../conformance/grant-source.conformance';
import { type Logged, informerDepsOf } from '../kubernetes/informer-deps';
import { permissionOf } from '../support/application-permission';
import { openPermissions } from '../support/permission-feed';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { socketsSettle } from '../support/sockets-settle';

describeGrantSource('the ApplicationPermissions of a cluster', {
  inForceWithinMs: 1000,
  open: async (apps) => {
    const server = await FakeApiServer.start();
    const permissions = server.of('applicationpermissions');
    for (const [index, app] of apps.entries()) permissions.put(permissionOf(app, `app-${index}`));
    const source = await openPermissions(informerDepsOf(server, new SystemMonotonicTime()));
    return {
      source,
      install: async (installed) => {
        const wanted = installed.map((app, index) => permissionOf(app, `app-${index}`));
        for (const { metadata } of permissions.list()) {
          const { namespace, name } = metadata;
          if (!wanted.some((one) => one.metadata.namespace === namespace && one.metadata.name === name))
            permissions.delete(namespace, name);
        }
        for (const one of wanted) permissions.put(one);
      },
      dispose: async () => {
        await source.close();
        await server.stop();
      },
    };
  },
});

const NOTES: AppToInstall = {
  app: 'notes',
  user: 'alice',
  appKey: 'canary_key',
  appSecret: 'canary_secret',
  ops: ['ListSecret?workspace=desk'],
};
const CALLER: Caller = { app: 'notes', user: 'alice', operations: 'any' };
const quiet = () => new Promise((resolve) => setTimeout(resolve, 60));

describe('the ApplicationPermissions of a cluster', () => {
  let server: FakeApiServer;
  let logged: Logged[];
  const sources: KubernetesGrantSource[] = [];
  beforeEach(async () => {
    server = await FakeApiServer.start();
  });
  afterEach(async () => {
    for (const source of sources.splice(0)) await source.close();
    await server.stop();
  });

  const open = async (time: MonotonicTime, maxAgeMs = 600_000): Promise<KubernetesGrantSource> => {
    const deps = { ...informerDepsOf(server, time), maxAgeMs };
    logged = deps.logged;
    const source = await openPermissions(deps);
    sources.push(source);
    return source;
  };
  const put = (app = NOTES, change: object = {}) =>
    server.of('applicationpermissions').put({ ...permissionOf(app, app.app), ...change });
  const decide = (source: KubernetesGrantSource) => () =>
    new GrantsService(source).authorize(CALLER, 'ListSecret', 'desk');

  it.each(['draft', 'submitted', 'passed', 'rejected', 'suspended', '', undefined, 'Active', true])(
    'grant nothing in state %p',
    async (state) => {
      put(NOTES, { status: { state } });
      const source = await open(new SystemMonotonicTime());
      expect(source.find('alice', 'notes')).toBeUndefined();
      expect(source.requireIndex().findByKey(NOTES.appKey)).toBeUndefined();
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0, problems: [] });
    },
  );

  it.each([
    ['a state that is not active', { status: { state: 'suspended' } }],
    ['no status', { status: undefined }],
    ['a deletion that waits for a finalizer', { deletionTimestamp: '2026-11-22T12:00:00Z' }],
    ['a spec without a key', { spec: { app: 'notes', secret: 's', permissions: [] } }],
  ])('are withdrawn by %s', async (_, change) => {
    put();
    const source = await open(new SystemMonotonicTime());
    expect(decide(source)).not.toThrow();
    const { metadata } = permissionOf(NOTES, 'notes');
    put(NOTES, 'deletionTimestamp' in change ? { metadata: { ...metadata, ...change } } : change);
    await eventually(() => expect(decide(source)).toThrow('no grant'), 1000);
    expect(source.requireIndex().findByKey(NOTES.appKey)).toBeUndefined();
    expect(logged).toContainEqual(expect.objectContaining({ event: 'grants_withdrawn' }));
  });

  it.each([
    'user-space-alice',
    'notes-alice',
    'a-namespace-of-alice',
    'default',
    'user-system-',
    'user-system',
    'xuser-system-alice',
  ])('grant nothing in namespace %s, and say so', async (namespace) => {
    put(NOTES, { metadata: { name: 'notes', namespace } });
    const source = await open(new SystemMonotonicTime());
    expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
    expect(source.status().problems).toHaveLength(1);
    expect(source.requireIndex().findByKey(NOTES.appKey)).toBeUndefined();
  });

  it('take the whole rest of the namespace for the user, and nothing that the resource says', async () => {
    put({ ...NOTES, user: 'a-b' }, { spec: { ...permissionOf(NOTES, 'x').spec, user: 'b', owner: 'b' } });
    const source = await open(new SystemMonotonicTime());
    expect(source.find('a-b', 'notes')?.user).toBe('a-b');
    expect(source.find('b', 'notes')).toBeUndefined();
  });

  it.each([
    ['spec', 7],
    ['spec', null],
    ['spec', { app: 'notes', key: 7, secret: 's' }],
    ['spec', { app: 'notes', key: 'k', secret: '' }],
    ['spec', { app: '../notes', key: 'k', secret: 's' }],
    ['spec', { app: 'notes', key: 'k'.repeat(5000), secret: 's' }],
  ])('with a bad %s are refused one by one', async (name, value) => {
    put(NOTES, { [name]: value });
    put({ ...NOTES, app: 'mail', appKey: 'other' });
    const source = await open(new SystemMonotonicTime());
    expect(source.status()).toMatchObject({ ready: true, installedApps: 1 });
    expect(source.status().problems).toEqual([
      expect.objectContaining({ source: 'user-system-alice/notes', servedFromLastGood: false }),
    ]);
  });

  it('warn of an op that grants nothing, and log neither key nor secret', async () => {
    put({ ...NOTES, ops: ['All', 'ListSecret?workspace=desk'] });
    put({ ...NOTES, app: 'thief', user: 'bob' });
    await open(new SystemMonotonicTime());
    await quiet();
    expect(logged).toContainEqual(
      expect.objectContaining({ event: 'grants_warning', source: 'user-system-alice/notes' }),
    );
    expect(logged.filter(({ event }) => event === 'grants_problem')).toHaveLength(2);
    expect(logged.filter(({ event }) => event === 'grants_loaded')).toHaveLength(1);
    expect(JSON.stringify(logged)).not.toContain('canary');
  });

  it('decide nothing before the first full list, and say why', async () => {
    put();
    server.failing = { status: 403, reason: 'Forbidden' };
    const time = new FixedMonotonicTime();
    const source = await open(time);
    expect(source.status()).toMatchObject({ ready: false, installedApps: 0 });
    const because = 'the ApplicationPermissions were not listed yet';
    expect(source.status()).toMatchObject({ unavailableBecause: because, problems: [] });
    expect(logged.at(-1)).toEqual({
      level: 'error',
      event: 'grants_unavailable',
      because,
      reason: '403 Forbidden',
    });
    expect(decide(source)).toThrow(GrantsUnavailable);
    expect(decide(source)).toThrow('not listed yet');
    server.failing = undefined;
    await quiet();
    time.advance(1000);
    await eventually(() => expect(decide(source)).not.toThrow());
    expect(logged.filter(({ event }) => event === 'grants_available')).toHaveLength(1);
  });

  it('are none where the cluster does not have them, and count once it does', async () => {
    server.absent.add('applicationpermissions');
    const time = new FixedMonotonicTime();
    const source = await open(time);
    expect(source.status()).toMatchObject({ ready: true, installedApps: 0, problems: [] });
    expect(source.status().feeds).toEqual(['ApplicationPermissions']);
    time.advance(599_000);
    await quiet();
    expect(source.status().ready).toBe(true);
    server.absent.clear();
    put();
    await eventually(() => {
      time.advance(5_000);
      expect(decide(source)).not.toThrow();
    });
    expect(logged.map(({ event }) => event)).not.toContain('grants_unavailable');
  });

  it('stay while a server that has just started does not know them, and go where it still does not', async () => {
    put();
    const time = new FixedMonotonicTime();
    server.time = time;
    const source = await open(time);
    await eventually(() => expect(server.watches.size).toBe(1));
    server.absent.add('applicationpermissions');
    for (const watch of server.watches) watch.end();
    const lists = server.count('list');
    await quiet();
    time.advance(2_000);
    await eventually(() => expect(server.count('list')).toBe(lists + 1));
    await quiet();
    expect(decide(source)).not.toThrow();
    await eventually(() => {
      time.advance(1_000);
      expect(decide(source)).toThrow('no grant');
    });
    expect(server.count('list')).toBeGreaterThanOrEqual(lists + 3);
    expect(source.status().ready).toBe(true);
  });

  it('do not hold the start while the first list takes its time', async () => {
    server.listDelayMs = 600_000;
    const time = new FixedMonotonicTime();
    const opening = open(time);
    await eventually(() => expect(server.requests).toHaveLength(1));
    time.advance(2000);
    expect((await opening).status().ready).toBe(false);
  });

  it('go on serving while the API server is away, and no longer than the maximum age', async () => {
    put();
    const time = new FixedMonotonicTime();
    const source = await open(time, 600_000);
    await eventually(() => expect(server.watches.size).toBe(1));
    await server.stop();
    await quiet();
    time.advance(599_000);
    expect(decide(source)).not.toThrow();
    expect(source.ageMs()).toBe(599_000);
    await quiet();
    time.advance(2_000);
    expect(decide(source)).toThrow('last confirmed more than 600 s ago');
    expect(source.status()).toMatchObject({ ready: false, installedApps: 1 });
    expect(logged.filter(({ event }) => event === 'grants_unavailable')).toEqual([
      expect.objectContaining({ level: 'error', reason: expect.stringContaining('ECONN') }),
    ]);
    await server.listen();
    await eventually(() => {
      time.advance(5_000);
      expect(decide(source)).not.toThrow();
    });
    expect(source.status()).toMatchObject({ ready: true, installedApps: 1, problems: [] });
    expect(logged.filter(({ event }) => event.startsWith('grants_') && event.includes('available'))).toEqual([
      expect.objectContaining({ event: 'grants_unavailable' }),
      { level: 'info', event: 'grants_available' },
    ]);
  });

  it('cost no time for the problems of others when one changes, and tell each change of a problem', async () => {
    for (let at = 0; at < 1_000; at += 1)
      put({ ...NOTES, app: `bad-${at}`, appKey: `key-${at}` }, { spec: { app: 'x' } });
    const source = await open(new SystemMonotonicTime());
    expect(source.status().problems).toHaveLength(1_000);
    const [stringify, { problems }] = [jest.spyOn(JSON, 'stringify'), source.status()];
    put();
    await eventually(() => expect(source.find('alice', 'notes')).toBeDefined());
    await quiet();
    expect(stringify.mock.calls.length).toBeLessThan(100);
    stringify.mockRestore();
    expect(source.status().problems).toBe(problems);
    const events = () => logged.map(({ event, reason }) => `${event} ${String(reason)}`);
    put({ ...NOTES, app: 'other' });
    await eventually(() => expect(source.status().problems).toHaveLength(1_002));
    await eventually(() => expect(events()).toContainEqual(expect.stringContaining('the same app key')));
    server.of('applicationpermissions').delete('user-system-alice', 'other');
    await eventually(() => expect(source.status().problems).toHaveLength(1_000));
    server.of('applicationpermissions').delete('user-system-alice', 'bad-0');
    await eventually(() => expect(source.status().problems).toHaveLength(999));
    await eventually(() =>
      expect(events().filter((event) => event.startsWith('grants_problem_solved'))).toHaveLength(3),
    );
  });

  it('say in the log when they have become too old, although nobody asks for them', async () => {
    put();
    const time = new FixedMonotonicTime();
    server.time = time;
    await open(time, 60_000);
    await eventually(() => expect(server.watches.size).toBe(1));
    await server.stop();
    for (let second = 0; second < 120; second++) {
      time.advance(1000);
      await socketsSettle(3);
    }
    const told = logged.filter(({ event }) => event === 'grants_unavailable');
    expect(told).toEqual([
      {
        level: 'error',
        event: 'grants_unavailable',
        because: 'the grants were last confirmed more than 60 s ago',
        reason: expect.stringContaining('ECONN'),
      },
    ]);
  });

  it('are revoked although the watch was half-open for a minute', async () => {
    put();
    const time = new FixedMonotonicTime();
    const source = await open(time);
    await eventually(() => expect(server.watches.size).toBe(1));
    for (const watch of server.watches) watch.fallSilent();
    server.of('applicationpermissions').delete('user-system-alice', 'notes');
    for (let second = 0; second < 60; second += 5) {
      time.advance(5_000);
      await socketsSettle(20);
    }
    await eventually(() => expect(decide(source)).toThrow('no grant'));
    expect(server.requests.length).toBeLessThan(5);
  });

  it('name the app that was installed first first, and warn of a workspace that becomes shared', async () => {
    const created = (app: string, creationTimestamp: string) => ({
      metadata: { name: app, namespace: 'user-system-alice', creationTimestamp },
    });
    put(NOTES, created('notes', '2026-11-22T12:00:01Z'));
    const source = await open(new SystemMonotonicTime());
    await eventually(() => expect(server.watches.size).toBe(1));
    put({ ...NOTES, app: 'mail', appKey: 'another' }, created('mail', '2026-11-22T12:00:00Z'));
    await eventually(() => expect(source.holdersOf('alice', 'desk')).toEqual(['mail', 'notes']));
    const told = () => logged.filter(({ event }) => event.startsWith('workspace_shared'));
    const shared = { user: 'alice', workspace: 'desk' };
    expect(told()).toEqual([
      { level: 'warn', event: 'workspace_shared', ...shared, apps: ['mail', 'notes'] },
    ]);
    put({ ...NOTES, app: 'chat', appKey: 'unrelated', ops: [] });
    server.of('applicationpermissions').delete('user-system-alice', 'mail');
    await eventually(() => expect(told()).toHaveLength(2));
    expect(told()[1]).toEqual({ level: 'info', event: 'workspace_shared_ended', ...shared });
  });

  describe('with WORKSPACE_SHARING=deny', () => {
    const MAIL = { ...NOTES, app: 'mail', appKey: 'another' };
    const since = (app: string, creationTimestamp: string, more: object = {}) => ({
      metadata: { name: app, namespace: 'user-system-alice', creationTimestamp, ...more },
    });
    const EARLIER = since('notes', '2026-11-22T12:00:00Z');
    const LATER = since('mail', '2026-11-22T13:00:00Z');
    const { spec } = permissionOf(NOTES, 'notes');
    const mayMail = (source: KubernetesGrantSource): boolean => {
      try {
        new GrantsService(source, 'deny').authorize({ ...CALLER, app: 'mail' }, 'ListSecret', 'desk');
        return true;
      } catch {
        return false;
      }
    };
    const opened = async (): Promise<KubernetesGrantSource> => {
      put(NOTES, EARLIER);
      put(MAIL, LATER);
      const source = await open(new SystemMonotonicTime());
      await eventually(() => expect(server.watches.size).toBe(1));
      expect(mayMail(source)).toBe(false);
      return source;
    };

    it.each([
      ['is suspended', { status: { state: 'suspended' } }],
      ['has no state', { status: undefined }],
      ['has no secret', { spec: { ...spec, secret: '' } }],
      ['has permissions that nobody can read', { spec: { ...spec, secret: '', permissions: 'x' } }],
      ['has no name', { spec: { ...spec, app: '' } }],
      ['waits for a finalizer', since('notes', '2026-11-22T12:00:00Z', { deletionTimestamp: 'x' })],
    ])(
      'leave a workspace to the first app while it %s, and pass it on when it is gone',
      async (_, change) => {
        const source = await opened();
        put(NOTES, { ...EARLIER, ...change });
        await eventually(() => expect(source.find('alice', 'notes')).toBeUndefined());
        expect(mayMail(source)).toBe(false);
        expect(source.holdersOf('alice', 'desk')).toEqual(['notes', 'mail']);
        put(NOTES, EARLIER);
        await eventually(() => expect(source.find('alice', 'notes')).toBeDefined());
        expect(mayMail(source)).toBe(false);
        put(NOTES, { ...EARLIER, ...change });
        await eventually(() => expect(source.find('alice', 'notes')).toBeUndefined());
        server.of('applicationpermissions').delete('user-system-alice', 'notes');
        await eventually(() => expect(mayMail(source)).toBe(true));
      },
    );

    it('leave a workspace to a suspended first app after a restart as well', async () => {
      put(NOTES, { ...EARLIER, status: { state: 'suspended' } });
      put(MAIL, LATER);
      expect(mayMail(await open(new SystemMonotonicTime()))).toBe(false);
    });

    it.each([
      ['was rejected', { status: { state: 'rejected' } }],
      ['states it no more', { spec: { ...spec, permissions: [] } }],
      [
        'is suspended and states it no more',
        { status: { state: 'suspended' }, spec: { ...spec, permissions: [] } },
      ],
    ])('pass a workspace on when the first app %s', async (_, change) => {
      const source = await opened();
      put(NOTES, { ...EARLIER, ...change });
      await eventually(() => expect(mayMail(source)).toBe(true));
    });
  });
});
