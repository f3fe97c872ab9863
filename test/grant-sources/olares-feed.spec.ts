import { GrantsService } from '../../src/authz/grants.service';
import { SECRET_OPERATIONS } from '../../src/authz/grant';
import {
  KubernetesGrantSource,
  type OpenGrantFeed,
} from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { olaresFeed, type OlaresFeedOptions } from '../../src/grant-sources/kubernetes/olares-feed';
import { type ApiCall, KubernetesFailure } from '../../src/kubernetes/kubernetes-api';
import { type MonotonicTime, SystemMonotonicTime } from '../../src/time/clock';
import { type AppToInstall, describeGrantSource } from '../conformance/grant-source.conformance';
import { type Logged, informerDepsOf } from '../kubernetes/informer-deps';
import { type AppToManage, managerOf, US } from '../support/application-manager';
import { permissionOf } from '../support/application-permission';
import { eventually } from '../support/eventually';
import { FastMonotonicTime } from '../support/fast-monotonic-time';
import { permissionsAlone } from '../support/permission-feed';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';

const PERMISSIONS: OlaresFeedOptions = {
  permissions: true,
  reservedWorkspaces: new Set(),
  release: 'up-to-1.12.0',
  leftovers: 'deny',
};
const PROVIDERS: OlaresFeedOptions = {
  ...PERMISSIONS,
  permissions: false,
  provider: US,
  reservedWorkspaces: new Set(['settings']),
  release: 'since-1.12.1',
};

describeGrantSource('the ApplicationPermissions beside ApplicationManagers', {
  inForceWithinMs: 20_000,
  open: async (apps) => {
    const server = await FakeApiServer.start();
    const permissions = server.of('applicationpermissions');
    for (const [index, app] of apps.entries()) permissions.put(permissionOf(app, `app-${index}`));
    const deps = informerDepsOf(server, new SystemMonotonicTime());
    const source = await KubernetesGrantSource.open(deps, [olaresFeed(PERMISSIONS)]);
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
const OLARES_ROLE = {
  metadata: { name: 'users', annotations: { 'provider-registry-ref': 'user-system-alice/secret' } },
};

describe('what Olares itself writes', () => {
  let server: FakeApiServer;
  let source: KubernetesGrantSource;
  let logged: Logged[];
  let time: MonotonicTime;
  beforeEach(async () => {
    server = await FakeApiServer.start();
    time = new SystemMonotonicTime();
  });
  afterEach(async () => {
    await source.close();
    await server.stop();
  });

  /** Of the API server's starts and refusals, for which the source waits for up to a quarter of a minute. */
  const hurry = () => (time = new FastMonotonicTime(5));
  const open = async (
    options: OlaresFeedOptions,
    ...others: readonly OpenGrantFeed[]
  ): Promise<KubernetesGrantSource> => {
    const deps = informerDepsOf(server, time);
    logged = deps.logged;
    source = await KubernetesGrantSource.open(deps, [olaresFeed(options), ...others]);
    return source;
  };
  const install = (app = NOTES) => server.of('applicationpermissions').put(permissionOf(app, app.app));
  const manage = (managed: AppToManage) => server.of('applicationmanagers').put(managerOf(managed));
  const reasons = () => source.status().problems.map(({ reason }) => reason);

  describe('permission.provider of an ApplicationManager', () => {
    it('grants all five operations on the workspace named like the app, for its owner alone', async () => {
      manage({ app: 'notes', user: 'alice', serviceAccount: 'notes-sa' });
      await open(PROVIDERS);
      expect(source.find('alice', 'notes')).toEqual({
        app: 'notes',
        user: 'alice',
        grants: new Set(SECRET_OPERATIONS.map((operation) => `${operation}?workspace=notes`)),
        namespace: 'notes-alice',
        serviceAccount: 'notes-sa',
      });
      expect(source.find('bob', 'notes')).toBeUndefined();
      expect(() =>
        new GrantsService(source).authorize(
          { app: 'notes', user: 'alice', operations: 'any' },
          'ListSecret',
          'x',
        ),
      ).toThrow('no grant');
      expect(source.status()).toMatchObject({ ready: true, problems: [], feeds: ['ApplicationManagers'] });
    });

    it('names the ServiceAccount default where the app states none, and takes clones by their own name', async () => {
      manage({ app: 'notes2', user: 'alice' });
      await open(PROVIDERS);
      expect(source.find('alice', 'notes2')).toMatchObject({ serviceAccount: 'default' });
    });

    it.each([
      'initializing',
      'upgrading',
      'upgradeFailed',
      'applyingEnv',
      'resuming',
      'resumeFailed',
      'stopping',
      'stopFailed',
    ])('grants while the app is %s', async (state) => {
      manage({ app: 'notes', user: 'alice', state });
      await open(PROVIDERS);
      expect(source.find('alice', 'notes')).toBeDefined();
    });

    it.each(['pending', 'downloading', 'installing', 'installFailed', 'stopped', 'suspend', 'uninstalling'])(
      'grants nothing while the app is %s',
      async (state) => {
        manage({ app: 'notes', user: 'alice', state });
        await open(PROVIDERS);
        expect(source.find('alice', 'notes')).toBeUndefined();
        expect(reasons()).toEqual([]);
      },
    );

    it.each(['uninstalled', '', 'Running', 'unknown'])('grants nothing in the state %p', async (state) => {
      manage({ app: 'notes', user: 'alice', state });
      await open(PROVIDERS);
      expect(source.find('alice', 'notes')).toBeUndefined();
    });

    it.each<[string, readonly object[]]>([
    ['another app', [{ ...US, appName: 'other' }]],
    ['another provider of ours', [{ ...US, providerName: 'other' }]],
    ['a name that contains ours', [{ appName: `${US.appName}x`, providerName: `${US.providerName}x` }]],
    ['our two names in two entries', [{ ...US, appName: 'other' }, { ...US, providerName: 'other' }]],
    ['our names in other fields', [{ podSelectors: [US], appName: 'other', providerName: 'other' }]],
    ['nobody', []],
  ])('grants nothing to an app that names %s', async (_, providers) => {
    manage({ app: 'notes', user: 'alice', providers });
    await open(PROVIDERS);
    expect(source.find('alice', 'notes')).toBeUndefined();
    expect(reasons()).toEqual([]);
  }); // prettier-ignore

    it('takes an entry that states a namespace for another provider unless it is the configured one', async () => {
      manage({ app: 'notes', user: 'alice', providers: [{ ...US, namespace: 'os-other' }] });
      manage({
        app: 'mail',
        user: 'alice',
        providers: [{ ...US, namespace: 'os-protected', podSelectors: [] }],
      });
      await open({ ...PROVIDERS, provider: { ...US, namespace: 'os-protected' } });
      expect(source.find('alice', 'notes')).toBeUndefined();
      expect(source.find('alice', 'mail')).toBeDefined();
      expect(reasons()).toEqual([expect.stringContaining('another namespace')]);
    });

    it.each<[string, AppToManage, string]>([
      [
        'the namespace of a shared chart',
        { app: 'notes', user: 'alice', namespace: 'notes-shared' },
        'appNamespace',
      ],
      ['another user’s namespace', { app: 'notes', user: 'alice', namespace: 'notes-bob' }, 'appNamespace'],
      ['another app’s namespace', { app: 'notes', user: 'alice', namespace: 'mail-alice' }, 'appNamespace'],
      ['a name that is none', { app: 'no tes', user: 'alice' }, 'spec.appName'],
      ['an owner that is none', { app: 'notes', user: '' }, 'spec.appOwner'],
      ['a workspace that the system’s own callers use', { app: 'settings', user: 'alice' }, 'kept for'],
      ['a name that no workspace can have', { app: 'n'.repeat(64), user: 'alice' }, 'the workspace'],
      ['a ServiceAccount that is none', { app: 'notes', user: 'alice', serviceAccount: 'a:b' }, 'Service'],
      [
        'a config that is no JSON',
        { app: 'notes', user: 'alice', config: `{${US.appName} ${US.providerName}` },
        'not JSON',
      ],
      [
        'a config that is too long',
        { app: 'notes', user: 'alice', config: `${US.appName}${US.providerName}${' '.repeat(262_144)}` },
        'longer than',
      ],
      [
        'a config that is nested too deep',
        { app: 'notes', user: 'alice', config: `${'['.repeat(40)}"${US.appName}${US.providerName}"` },
        'deep',
      ],
      [
        'permissions that are no list',
        { app: 'notes', user: 'alice', config: JSON.stringify({ Permission: { a: [US] } }) },
        'not a list',
      ],
      [
        'too many providers',
        { app: 'notes', user: 'alice', providers: Array.from({ length: 1001 }, () => US) },
        'more than 1000',
      ],
    ])('grants nothing with %s, and the problem says why', async (_, managed, reason) => {
      manage(managed);
      await open(PROVIDERS);
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
      expect(reasons()).toEqual([expect.stringContaining(reason)]);
    });

    it.each<[string, unknown]>([
      ['null', null],
      ['a number', 7],
      ['empty text', ''],
      ['JSON of no object', `"${US.appName}${US.providerName}"`],
      ['no Permission', JSON.stringify({ x: [US] })],
      ['a Permission of null', JSON.stringify({ Permission: null, x: [US] })],
      ['strings and null alone', JSON.stringify({ Permission: ['APPDATA', null, 7], x: [US] })],
      ['entries that are no objects', JSON.stringify({ Permission: [[null, 7, 'x', [US]]] })],
      ['an entry by its prototype', '{"Permission":[[{"__proto__":' + JSON.stringify(US) + '}]]}'],
    ])('ignores a config of %s', async (_, config) => {
      manage({ app: 'notes', user: 'alice', config });
      await open(PROVIDERS);
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0, problems: [] });
    });

    it('is in force, withdrawn and back with each change', async () => {
      await open(PROVIDERS);
      manage({ app: 'notes', user: 'alice' });
      await eventually(() => expect(source.find('alice', 'notes')).toBeDefined());
      manage({ app: 'notes', user: 'alice', providers: [] });
      await eventually(() => expect(source.find('alice', 'notes')).toBeUndefined());
      manage({ app: 'notes', user: 'alice' });
      await eventually(() => expect(source.find('alice', 'notes')).toBeDefined());
      server.of('applicationmanagers').delete('', 'notes-alice-notes');
      await eventually(() => expect(source.find('alice', 'notes')).toBeUndefined());
    });

    it('is ready with no app where the cluster has no ApplicationManagers', async () => {
      server.absent.add('applicationmanagers');
      await open(PROVIDERS);
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
    });

    it('is not ready while the API server refuses us the ApplicationManagers', async () => {
      server.forbidden.add('applicationmanagers');
      await open(PROVIDERS);
      expect(source.status()).toMatchObject({
        ready: false,
        unavailableBecause: 'the ApplicationManagers were not listed yet',
      });
    });
  });

  describe('leftover ApplicationPermissions', () => {
    it('of an app that was uninstalled grant nothing on any release, from the moment on that its manager says so', async () => {
      install();
      manage({ app: 'notes', user: 'alice' });
      await open(PERMISSIONS);
      expect(source.find('alice', 'notes')).toBeDefined();
      manage({ app: 'notes', user: 'alice', state: 'uninstalled' });
      await eventually(() => expect(source.find('alice', 'notes')).toBeUndefined());
      expect(source.requireIndex().findByKey(NOTES.appKey)).toBeUndefined();
      expect(source.holdersOf('alice', 'desk')).toEqual([]);
      expect(reasons()).toEqual(['leftover: the app was uninstalled']);
      manage({ app: 'notes', user: 'alice', state: 'running' });
      await eventually(() => expect(source.find('alice', 'notes')).toBeDefined());
      expect(reasons()).toEqual([]);
    });

    it('are not those of another user’s app, nor of one that has no manager, up to 1.12.0', async () => {
      install();
      manage({ app: 'notes', user: 'bob', state: 'uninstalled' });
      await open(PERMISSIONS);
      expect(source.find('alice', 'notes')).toBeDefined();
      expect(reasons()).toEqual([]);
    });

    it('count where the API server refuses us the managers, as with the roles of an older chart', async () => {
      hurry();
      install();
      server.forbidden.add('applicationmanagers');
      await open(PERMISSIONS);
      await eventually(() => expect(source.status().ready).toBe(true));
      expect(source.find('alice', 'notes')).toBeDefined();
      // The managers count as refused until they are listed, and not as never listed while the API server is away.
      await server.stop();
      for (let seconds = 0; seconds < 10; seconds += 1) {
        expect(source.status()).toMatchObject({ ready: true, installedApps: 1 });
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      server.forbidden.clear();
      manage({ app: 'notes', user: 'alice', state: 'uninstalled' });
      await server.listen();
      await eventually(() => expect(reasons()).toEqual(['leftover: the app was uninstalled']));
    }, 60_000);

    it('count where the API server refuses to show us the managers, and to let us watch the permissions', async () => {
      hurry();
      install();
      server.forbidden.add('applicationmanagers');
      const deps = informerDepsOf(server, time);
      const watch = (): Promise<never> => Promise.reject(new KubernetesFailure('Forbidden', 403));
      const api = { send: deps.api.send.bind(deps.api), watch } as unknown as typeof deps.api;
      source = await KubernetesGrantSource.open({ ...deps, api }, [olaresFeed(PERMISSIONS)]);
      await eventually(() => expect(source.find('alice', 'notes')).toBeDefined());
      await eventually(() => expect(source.status().ready).toBe(true));
    }, 60_000);

    const OFF = new KubernetesFailure('ECONNREFUSED');
    const REFUSED = new KubernetesFailure('Forbidden', 403);
    it.each<[string, readonly KubernetesFailure[], readonly KubernetesFailure[]]>([
      ['was away and then refuses once', [], [OFF, REFUSED]],
      ['refuses twice', [], [REFUSED, REFUSED]],
      ['refuses again and again between failures', [], [REFUSED, REFUSED, OFF, REFUSED]],
      ['refuses everything', [REFUSED, REFUSED, REFUSED], [REFUSED, REFUSED, REFUSED]],
    ])(
      'are not served for a moment where an API server that starts %s',
      async (_, ofPermissions, ofManagers) => {
        hurry();
        install();
        manage({ app: 'notes', user: 'alice', state: 'uninstalled' });
        const deps = informerDepsOf(server, time);
        const [permissions, managers] = [[...ofPermissions], [...ofManagers]];
        const send = async (call: ApiCall) => {
          const isManagers = call.path.endsWith('/applicationmanagers');
          const failure = (isManagers ? managers : permissions).shift();
          if (failure !== undefined) throw failure;
          if (isManagers) await new Promise((resolve) => setTimeout(resolve, 500));
          return deps.api.send(call);
        };
        const api = { send, watch: deps.api.watch.bind(deps.api) } as typeof deps.api;
        source = await KubernetesGrantSource.open({ ...deps, api }, [olaresFeed(PERMISSIONS)]);
        let wasServed = false;
        await eventually(() => {
          if (source.status().ready && source.find('alice', 'notes') !== undefined) wasServed = true;
          expect(reasons()).toEqual(['leftover: the app was uninstalled']);
        });
        expect(wasServed).toBe(false);
      },
      30_000,
    );

    it('are all of them from 1.12.1 on, and grant nothing', async () => {
      install();
      manage({ app: 'notes', user: 'alice' });
      await open({ ...PERMISSIONS, release: 'since-1.12.1' });
      expect(source.find('alice', 'notes')).toBeUndefined();
      expect(source.requireIndex().findByKey(NOTES.appKey)).toBeUndefined();
      expect(reasons()).toEqual([expect.stringMatching(/^leftover: Olares 1\.12\.1/)]);
    });

    it('count from 1.12.1 on by an explicit setting, for apps that are installed', async () => {
      install();
      install({ ...NOTES, app: 'mail', appKey: 'k2' });
      install({ ...NOTES, app: 'gone', appKey: 'k3' });
      manage({ app: 'notes', user: 'alice' });
      manage({ app: 'gone', user: 'alice', state: 'uninstalled' });
      await open({ ...PERMISSIONS, release: 'since-1.12.1', leftovers: 'grant' });
      expect([...source.installedApps()].map(({ app }) => app)).toEqual(['notes']);
      expect(reasons()).toEqual(Array(2).fill('leftover: the app is not installed'));
    });

    it('take no part of what permission.provider grants the same app', async () => {
      install({ ...NOTES, ops: ['ListSecret?workspace=others'] });
      manage({ app: 'notes', user: 'alice' });
      await open({ ...PROVIDERS, permissions: true });
      const grants = source.find('alice', 'notes')?.grants ?? new Set();
      expect([grants.has('ListSecret?workspace=notes'), grants.has('ListSecret?workspace=others')]).toEqual([
        true,
        false,
      ]);
    });
  });

  describe('the release of Olares', () => {
    const auto = { ...PERMISSIONS, release: 'auto' } as const;

    it('is up to 1.12.0 where no ClusterRole has the annotation of later ones', async () => {
      install();
      server.of('clusterroles').put({ metadata: { name: 'cluster-admin' } });
      await open(auto);
      expect(source.find('alice', 'notes')).toBeDefined();
      expect(source.status()).toMatchObject({ ready: true, olares: 'up-to-1.12.0' });
      expect(logged).toContainEqual({
        level: 'info',
        event: 'grant_feeds_opened',
        feeds: ['ApplicationPermissions'],
        olares: 'up-to-1.12.0',
      });
    });

    it('is 1.12.1 or later where one has it, however many roles there are', async () => {
      install();
      for (let i = 0; i < 1_001; i += 1)
        server.of('clusterroles').put({ metadata: { name: `a${String(i).padStart(4, '0')}` } });
      server.of('clusterroles').put(OLARES_ROLE);
      await open(auto);
      expect(source.status()).toMatchObject({ ready: true, olares: 'since-1.12.1', installedApps: 0 });
    });

    it('is known by the first page that has one', async () => {
      server.of('clusterroles').put(OLARES_ROLE);
      for (let i = 0; i < 1_001; i += 1)
        server.of('clusterroles').put({ metadata: { name: `z${String(i).padStart(4, '0')}` } });
      await open(auto);
      expect(source.status()).toMatchObject({ olares: 'since-1.12.1' });
      expect(server.requests.filter(({ path }) => path.endsWith('/clusterroles'))).toHaveLength(1);
    });

    it('is not told by the roles that this service makes itself', async () => {
      const { metadata } = OLARES_ROLE;
      const labels = { 'app.kubernetes.io/managed-by': 'olares-secret-provider' };
      server.of('clusterroles').put({ metadata: { ...metadata, labels } });
      await open(auto);
      expect(source.status()).toMatchObject({ olares: 'up-to-1.12.0' });
    });

    it('stays unknown where the API server refuses three times to list ClusterRoles, and permissions then count', async () => {
      hurry();
      install();
      server.forbidden.add('clusterroles');
      await open(auto);
      expect(source.status()).toMatchObject({ ready: false, olares: 'unknown' });
      expect(logged).toContainEqual(
        expect.objectContaining({ event: 'grants_unavailable', reason: '403 Forbidden' }),
      );
      await eventually(() => expect(source.status()).toMatchObject({ ready: true, olares: 'unknown' }));
      expect(source.find('alice', 'notes')).toBeDefined();
      expect(logged).toContainEqual(
        expect.objectContaining({ level: 'warn', event: 'olares_release_unknown', reason: '403 Forbidden' }),
      );
    });

    it.each([
      ['before the refusals last', 1],
      ['after they lasted', 3],
    ])('is found soon after an API server that has just started refused us, %s', async (_, refusals) => {
      hurry();
      install();
      server.of('clusterroles').put(OLARES_ROLE);
      server.forbidden.add('clusterroles');
      await open(auto);
      const asked = () => server.requests.filter(({ path }) => path.endsWith('/clusterroles')).length;
      await eventually(() => expect(asked()).toBeGreaterThanOrEqual(refusals));
      const mayCount = asked() >= 3;
      expect(source.status().ready && !mayCount).toBe(false);
      server.forbidden.clear();
      await eventually(() => expect(source.status().olares).toBe('since-1.12.1'));
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
    });

    it('is waited for only where ApplicationPermissions are read', async () => {
      install();
      manage({ app: 'notes', user: 'alice' });
      server.absent.add('clusterroles');
      await open({ ...PROVIDERS, release: 'auto' });
      expect(source.status()).toMatchObject({ ready: true, installedApps: 1, olares: 'unknown' });
      await source.close();
      await open({ ...auto, permissions: false }, permissionsAlone);
      expect(source.status()).toMatchObject({ ready: true, feeds: ['ApplicationPermissions'] });
      await source.close();
      await open(auto);
      expect(source.status()).toMatchObject({ ready: false });
    });
  });
});
