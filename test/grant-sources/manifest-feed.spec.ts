import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type MonotonicTime, SystemMonotonicTime } from '../../src/time/clock';
import { GrantsService } from '../../src/authz/grants.service';
import { KubernetesGrantSource } from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { manifestFeed } from '../../src/grant-sources/kubernetes/manifest-feed';
import { ManifestNamespace } from '../../src/grant-sources/kubernetes/manifest-object';
import { WatchedGrantApprovals } from '../../src/grant-sources/kubernetes/watched-grant-approvals';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { describeGrantSource } from '../conformance/grant-source.conformance';
import { type Logged, informerDepsOf } from '../kubernetes/informer-deps';
import { eventually } from '../support/eventually';
import type { ApiCall } from '../../src/kubernetes/kubernetes-api';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { socketsSettle } from '../support/sockets-settle';
import {
  approvalMap,
  approveAll,
  installApp,
  manifestMap,
  manifestText,
  namespaceObject,
  OWN_NAMESPACE,
} from '../support/manifest-config-map';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function liveHeapMiB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

async function openSource(
  server: FakeApiServer,
  reserved: readonly string[] = [],
  time: MonotonicTime = new SystemMonotonicTime(),
) {
  const deps = informerDepsOf(server, time);
  const owners = new WatchedNamespaceOwners(deps);
  const approvals = new WatchedGrantApprovals(OWN_NAMESPACE, deps);
  const source = await KubernetesGrantSource.open(deps, [
    manifestFeed({ owners, approvals, reservedWorkspaces: new Set(reserved) }),
  ]);
  return {
    source,
    logged: deps.logged,
    close: async () => {
      await source.close();
      await owners.close();
    },
  };
}

describeGrantSource('manifests in ConfigMaps', {
  inForceWithinMs: 1000,
  hasKeys: false,
  open: async (apps) => {
    const server = await FakeApiServer.start();
    const install = (installed: typeof apps): void => {
      const [maps, namespaces] = [server.of('configmaps'), server.of('namespaces')];
      const kept = new Set(installed.map(({ app, user }) => `${app}-${user}`));
      for (const { metadata } of namespaces.list()) {
        if (kept.has(metadata.name)) continue;
        for (const one of maps.list(metadata.name)) maps.delete(metadata.name, one.metadata.name);
        namespaces.delete(undefined, metadata.name);
      }
      for (const [index, one] of installed.entries()) {
        const isSecond = installed.findIndex(({ app, user }) => app === one.app && user === one.user) < index;
        if (!isSecond) installApp(server, one);
        else maps.put(manifestMap(`${one.app}-${one.user}`, manifestText(one.app, one.ops), 'second'));
        approveAll(server, one);
      }
    };
    install(apps);
    const { source, close } = await openSource(server);
    return {
      source,
      install: async (installed) => install(installed),
      dispose: async () => {
        await close();
        await server.stop();
      },
    };
  },
});

const OWN = 'ListSecret?workspace=notes-desk';
const FOREIGN = 'ListSecret?workspace=mail';

describe('manifests in ConfigMaps', () => {
  let server: FakeApiServer;
  let logged: readonly Logged[];
  let source: KubernetesGrantSource;
  let close: () => Promise<void> = async () => undefined;
  beforeEach(async () => {
    server = await FakeApiServer.start();
  });
  afterEach(async () => {
    await close();
    await server.stop();
  });

  const open = async (...reserved: readonly string[]): Promise<void> => {
    ({ source, logged, close } = await openSource(server, reserved));
  };
  /** Opens a source whose time only the test advances. */
  const openAtFixedTime = async (): Promise<FixedMonotonicTime> => {
    const time = new FixedMonotonicTime();
    server.time = time;
    ({ source, logged, close } = await openSource(server, [], time));
    return time;
  };
  const put = (namespace: string, text: string, name?: string) =>
    server.of('configmaps').put(manifestMap(namespace, text, name));
  const grantsOf = (user: string, app: string): readonly string[] =>
    [...(source.find(user, app)?.grants ?? ['not installed'])].sort();
  const pendingOf = (user: string, app: string): readonly string[] =>
    [...(source.find(user, app)?.pending ?? [])].sort();
  const reasons = (): readonly string[] => source.status().problems.map(({ reason }) => reason);

  it('grant what an app states on workspaces of its own, and name its namespace and ServiceAccount', async () => {
    server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
    put('notes-alice', manifestText('notes', ['ListSecret', OWN], '  serviceAccount: notes-sa\n'));
    await open();
    expect(source.find('alice', 'notes')).toEqual({
      app: 'notes',
      user: 'alice',
      namespace: 'notes-alice',
      serviceAccount: 'notes-sa',
      grants: new Set(['ListSecret?workspace=notes', OWN]),
    });
    expect(source.status()).toEqual({
      ready: true,
      installedApps: 1,
      problems: [],
      feeds: ['manifests in ConfigMaps'],
      pendingGrants: 0,
    });
  });

  it('take default for the ServiceAccount that a manifest does not name', async () => {
    installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
    await open();
    expect(source.find('alice', 'notes')?.serviceAccount).toBe('default');
  });

  it('need the manifest as the developer wrote it, with the directives of Helm outside of the permissions', async () => {
    server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
    put('notes-alice', `${manifestText('notes', [OWN])}spec:\n  {{- if .Values.x }}\n  a: b\n  {{- end }}\n`);
    await open();
    expect(grantsOf('alice', 'notes')).toEqual([OWN]);
  });

  it('warn of an entry of sysData that is another version, and grant nothing by it', async () => {
    server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
    const text = manifestText('notes', [OWN]).replace(
      'version: v1',
      'version: v2\n      svc: x\n      port: "80"',
    );
    put('notes-alice', text);
    await open();
    expect(grantsOf('alice', 'notes')).toEqual([]);
    expect(logged).toContainEqual(
      expect.objectContaining({
        event: 'grants_warning',
        source: 'ConfigMap notes-alice/olares-manifest',
        reason: expect.stringContaining('must state version: v1'),
      }),
    );
  });

  describe('in a namespace that is not that of the app', () => {
    it.each([
      ['user-system-alice', 'alice', 'user-system'],
      ['user-space-alice', 'alice', 'user-space'],
      ['os-protected', 'protected', 'os'],
      ['os-framework', undefined, 'os-framework'],
      ['kube-system', 'system', 'kube'],
      ['notes-shared', 'shared', 'notes'],
      ['notes-alice', undefined, 'notes'],
      ['notes-alice', '', 'notes'],
      ['notes-alice', 'bob', 'notes'],
      ['notes-alice', 'lice', 'notes'],
      ['notes-alice', 'Alice', 'notes'],
      ['notes-alice', 'notes-alice', 'notes'],
      ['-alice', 'alice', 'notes'],
      ['alice', 'alice', 'notes'],
      ['notes', 'alice', 'notes'],
    ])('grant nothing in %s of owner %s, and say why', async (namespace, owner, app) => {
      server.of('namespaces').put(namespaceObject(namespace, owner));
      put(namespace, manifestText(app, ['ListSecret']));
      await open();
      expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
      expect(source.status().problems).toEqual([
        {
          source: `ConfigMap ${namespace}/olares-manifest`,
          reason: expect.stringMatching(/^its namespace (has no label|is no app's)/),
          servedFromLastGood: false,
        },
      ]);
    });

    it.each([
      'mail',
      'Notes',
      'notes ',
      'notes-pro',
      'nоtes',
      'ｎotes',
      'notes\u200b',
      'note',
      'NOTES',
      '__proto__',
    ])('grant nothing where metadata.name is %j in the namespace of notes', async (name) => {
      installApp(server, { app: 'mail', user: 'alice', ops: ['ListSecret'] });
      server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
      put('notes-alice', manifestText(name, ['ListSecret', 'ListSecret?workspace=mail']));
      await open();
      expect(grantsOf('alice', 'notes')).toEqual(['not installed']);
      expect(grantsOf('alice', 'mail')).toEqual(['ListSecret?workspace=mail']);
      expect(source.status().installedApps).toBe(1);
      expect(reasons()).toHaveLength(1);
    });

    it('take only the owner of the namespace for the user', async () => {
      server.of('namespaces').put(namespaceObject('mail-a-b', 'b'));
      put('mail-a-b', manifestText('mail', ['ListSecret']));
      await open();
      expect(source.status().installedApps).toBe(0);
      put('mail-a-b', manifestText('mail-a', ['ListSecret']));
      await eventually(() => expect(grantsOf('b', 'mail-a')).toEqual(['ListSecret?workspace=mail-a']));
      expect(source.find('a-b', 'mail')).toBeUndefined();
    });
  });

  it('are withdrawn at once where the namespace loses its label, changes hands, is being deleted or is gone', async () => {
    const ops = [OWN];
    installApp(server, { app: 'notes', user: 'alice', ops });
    await open();
    const namespaces = server.of('namespaces');
    const gone = async (change: () => void): Promise<void> => {
      expect(grantsOf('alice', 'notes')).toEqual([OWN]);
      change();
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual(['not installed']));
      namespaces.put(namespaceObject('notes-alice', 'alice'));
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([OWN]));
    };
    await gone(() => namespaces.put(namespaceObject('notes-alice')));
    expect(source.holdersOf('alice', 'notes-desk')).toEqual(['notes']);
    await gone(() => namespaces.put(namespaceObject('notes-alice', 'bob')));
    await gone(() => namespaces.put(namespaceObject('notes-alice', 'alice', { deletionTimestamp: 'x' })));
    await gone(() => namespaces.delete(undefined, 'notes-alice'));
    namespaces.put(namespaceObject('notes-alice'));
    await eventually(() => expect(source.holdersOf('alice', 'notes-desk')).toEqual([]));
  });

  it('count nothing of two ConfigMaps in one namespace, and the one that is left again', async () => {
    installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
    await open();
    put('notes-alice', manifestText('notes', ['CreateSecret']), 'another');
    await eventually(() => expect(grantsOf('alice', 'notes')).toEqual(['not installed']));
    await eventually(() => expect(reasons()).toEqual([expect.stringContaining('several manifests')]));
    server.of('configmaps').delete('notes-alice', 'olares-manifest');
    await eventually(() => expect(grantsOf('alice', 'notes')).toEqual(['CreateSecret?workspace=notes']));
  });

  it('say one thing of a namespace with thousands of ConfigMaps, and go on with the others', async () => {
    installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
    await open();
    for (let count = 0; count < 2_000; count += 1) put('notes-alice', `x: ${count}`, `map-${count}`);
    installApp(server, { app: 'mail', user: 'alice', ops: ['ListSecret'] });
    await eventually(() => expect(grantsOf('alice', 'mail')).toEqual(['ListSecret?workspace=mail']));
    expect(reasons()).toEqual([expect.stringContaining('several manifests')]);
    expect(logged.length).toBeLessThan(20);
    // Only the last one is left, whose text was not held.
    server.of('configmaps').delete('notes-alice', 'olares-manifest');
    for (let count = 0; count < 1_999; count += 1)
      server.of('configmaps').delete('notes-alice', `map-${count}`);
    await eventually(() => expect(reasons()).toEqual([expect.stringContaining('changed too often')]));
  });

  it('hold the text of one manifest while a list has a thousand of one namespace', async () => {
    installApp(server, { app: 'mail', user: 'alice', ops: ['ListSecret'] });
    server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
    const filler = Buffer.alloc(63 * 1024, 'x');
    for (let at = 0; at < 1_000; at += 1) {
      // Made from bytes, so that the server does not copy it when it first sends it.
      const text = Buffer.concat([Buffer.from(`a: ${at}`), filler]).toString('latin1');
      put('notes-alice', text, `map-${String(at).padStart(4, '0')}`);
    }
    const heapMiB: number[] = [];
    const push = server.requests.push.bind(server.requests);
    server.requests.push = (...requests) => {
      if (requests.some(({ query }) => query.get('continue') !== null)) heapMiB.push(liveHeapMiB());
      return push(...requests);
    };
    await open();
    await eventually(() => expect(grantsOf('alice', 'mail')).toEqual(['ListSecret?workspace=mail']));
    await eventually(() => expect(reasons()).toEqual([expect.stringContaining('several manifests')]));
    expect(heapMiB.length).toBeGreaterThan(10);
    expect((heapMiB.at(-1) ?? Infinity) - (heapMiB[0] ?? 0)).toBeLessThan(15);
  });

  it('hold the content of no more than a few of one namespace, however slowly they come', async () => {
    const time = new FixedMonotonicTime();
    const namespace = new ManifestNamespace(time, () => undefined);
    const ops = Array.from({ length: 1_000 }, (_, at) => `ListSecret?workspace=notes-${at}`);
    const beforeMiB = liveHeapMiB();
    for (let at = 0; at < 200; at += 1) {
      const body = {
        data: {
          'OlaresManifest.yaml': manifestText('notes', [...ops, `ListSecret?workspace=n-${at}`].slice(1)),
        },
      };
      const object = { namespace: 'notes-alice', name: `map-${at}`, version: '1', body };
      const key = `notes-alice/map-${at}`;
      namespace.put(key, namespace.read(key, object));
      time.advance(2_000);
    }
    expect(namespace.size).toBe(200);
    expect(liveHeapMiB() - beforeMiB).toBeLessThan(20);
  });

  it('hold nothing of a namespace whose last one went while it changed often', async () => {
    const time = await openAtFixedTime();
    const removals = jest.spyOn(ManifestNamespace.prototype, 'remove');
    for (let user = 0; user < 20; user += 1) {
      const namespace = `notes-user-${user}`;
      for (let change = 0; change < 3; change += 1) put(namespace, manifestText('notes', [`op-${change}`]));
      server.of('configmaps').delete(namespace, 'olares-manifest');
    }
    await eventually(() => expect(removals.mock.contexts).toHaveLength(20));
    const left = removals.mock.contexts.map((namespace) => new WeakRef(namespace));
    removals.mockRestore();
    time.advance(4_000);
    // Everything is listed again.
    server.dropConnections();
    let seconds = 0;
    await eventually(async () => {
      if (seconds++ < 20) time.advance(1_000);
      await socketsSettle();
      collectGarbage();
      expect(left.filter((namespace) => namespace.deref() !== undefined).length).toBe(0);
    });
  });

  const LONG_NAME = 'notes-application';
  // Without quotes, so that each value is a part of the text.
  const PLAIN = manifestText(
    LONG_NAME,
    ['ListSecret', `CreateSecret?workspace=${LONG_NAME}-desk`],
    `  serviceAccount: ${LONG_NAME}\n`,
  ).replaceAll('"', '');

  it.each<[string, (text: string) => string]>([
    ['in a comment', (text) => `${PLAIN}# ${text}`],
    ['where the parser quotes it', (text) => `${PLAIN}a: |${text}\n`],
    ['in an op', (text) => PLAIN.replace('ListSecret', text)],
  ])('hold no text once it is parsed, of one that an app changes all the time %s', async (_, changed) => {
    const time = new FixedMonotonicTime();
    const namespace = new ManifestNamespace(time, () => undefined);
    const filler = Buffer.alloc(60 * 1024, 'x');
    const beforeMiB = liveHeapMiB();
    for (let at = 0; at < 200; at += 1) {
      const text = changed(Buffer.concat([Buffer.from(String(at)), filler]).toString('latin1'));
      const body = { data: { 'OlaresManifest.yaml': text } };
      const object = { namespace: 'x', name: 'map', version: '1', body };
      namespace.put('x/map', namespace.read('x/map', object));
      time.advance(1_000);
    }
    expect(liveHeapMiB() - beforeMiB).toBeLessThan(5);
  });

  it.each<[string, readonly string[]]>([
    ['a second one', ['second']],
    ['two, each in place of the other', ['second', 'olares-manifest']],
  ])(
    'begin to grant once in a second while an app makes and deletes %s all the time, and end at once',
    async (_, names) => {
      installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
      const time = await openAtFixedTime();
      let changes = 0;
      source.onChange(() => (changes += 1));
      for (let round = 0; round < 100; round += 1) {
        const name = names[round % names.length] ?? '';
        put('notes-alice', manifestText('notes', [OWN]), name);
        await socketsSettle(1);
        const deleted = names.length === 1 ? name : (names[(round + 1) % names.length] ?? '');
        server.of('configmaps').delete('notes-alice', deleted);
        await socketsSettle(1);
        time.advance(20);
      }
      expect(changes).toBeLessThan(30);
      expect(logged.length).toBeLessThan(100);
      time.advance(3_000);
      // Of one that came beside another too often no text was held.
      if (names.length > 1)
        return eventually(() => expect(reasons()).toEqual([expect.stringContaining('changed too often')]));
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([OWN]));
      put('notes-alice', manifestText('notes', [OWN]), 'third');
      // No time passes.
      return eventually(() => expect(grantsOf('alice', 'notes')).toEqual(['not installed']));
    },
  );

  it('are read once in a second while an app changes its own all the time, and then as it is in the end', async () => {
    installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
    const time = await openAtFixedTime();
    for (let change = 0; change < 60; change += 1) {
      put('notes-alice', manifestText('notes', [`ListSecret?workspace=notes-${change}`]));
      await socketsSettle(1);
      time.advance(10);
    }
    time.advance(1_000);
    await eventually(() => expect(grantsOf('alice', 'notes')).toEqual(['ListSecret?workspace=notes-59']));
    expect(logged.filter(({ event }) => event === 'grants_read').length).toBeLessThan(20);
  });

  it.each([
    ['is larger than 64 KiB', `${manifestText('notes', [OWN])}# ${'x'.repeat(65_536)}`, 'larger than'],
    [
      'has more than 10,000 tokens',
      `${manifestText('notes', [OWN])}spec: [${'1,'.repeat(10_000)}]`,
      'tokens',
    ],
    [
      'states more than 1,000 ops',
      manifestText(
        'notes',
        Array.from({ length: 1_001 }, () => OWN),
      ),
      '1000 ops',
    ],
    ['is no YAML', '\t: [', ''],
    ['has a condition around the permissions', `{{ if .a }}\n${manifestText('notes', [OWN])}{{ end }}\n`, ''],
  ])('grant nothing by a manifest that %s', async (_, text, reason) => {
    server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
    put('notes-alice', text);
    installApp(server, { app: 'mail', user: 'alice', ops: ['ListSecret'] });
    await open();
    expect(source.status()).toMatchObject({ ready: true, installedApps: 1 });
    expect(reasons()).toEqual([expect.stringContaining(reason)]);
  });

  it.each([
    ['no data', { data: undefined }],
    ['null', { data: null }],
    ['another key', { data: { 'olaresmanifest.yaml': manifestText('notes', [OWN]) } }],
    ['text that is none', { data: { 'OlaresManifest.yaml': 7 } }],
    ['binary data', { data: undefined, binaryData: { 'OlaresManifest.yaml': 'eA==' } }],
  ])('grant nothing with %s', async (_, change) => {
    server.of('namespaces').put(namespaceObject('notes-alice', 'alice'));
    server.of('configmaps').put({ ...manifestMap('notes-alice', ''), ...change });
    await open();
    expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
    expect(reasons()).toEqual(['data has no OlaresManifest.yaml']);
  });

  describe('on workspaces of others', () => {
    const TOLD = { level: 'warn', event: 'grants_pending', user: 'alice', app: 'notes' };

    it('are pending: not granted, counted, explained and logged once', async () => {
      installApp(server, { app: 'mail', user: 'alice', ops: ['ListSecret'] });
      installApp(server, { app: 'notes', user: 'alice', ops: [OWN, FOREIGN] });
      await open();
      expect(grantsOf('alice', 'notes')).toEqual([OWN]);
      expect(pendingOf('alice', 'notes')).toEqual([FOREIGN]);
      expect(source.status()).toMatchObject({ pendingGrants: 1, problems: [] });
      expect(source.holdersOf('alice', 'mail')).toEqual(['mail']);
      const grants = new GrantsService(source);
      const caller = { app: 'notes', user: 'alice', operations: 'any' } as const;
      expect(() => grants.authorize(caller, 'ListSecret', 'mail')).toThrow('must approve it');
      expect(grants.heldWorkspaces('alice', 'notes')).toEqual([
        { workspace: 'mail', operations: [], sharedWith: ['mail'], usable: false, pending: ['ListSecret'] },
        { workspace: 'notes-desk', operations: ['ListSecret'], sharedWith: [], usable: true },
      ]);
      put('notes-alice', manifestText('notes', [FOREIGN, OWN, 'CreateSecret']));
      await eventually(() => expect(grantsOf('alice', 'notes')).toHaveLength(2));
      expect(logged.filter(({ event }) => event === 'grants_pending')).toEqual([
        { ...TOLD, grants: [FOREIGN] },
      ]);
    });

    it('count as soon as and as long as they are approved and stated', async () => {
      installApp(server, { app: 'notes', user: 'alice', ops: [FOREIGN, 'CreateSecret?workspace=mail'] });
      await open();
      expect(grantsOf('alice', 'notes')).toEqual([]);
      const approval = approvalMap({
        user: 'alice',
        app: 'notes',
        workspace: 'mail',
        operations: 'ListSecret',
      });
      const maps = server.of('configmaps');
      maps.put(approval);
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([FOREIGN]));
      expect(pendingOf('alice', 'notes')).toEqual(['CreateSecret?workspace=mail']);
      maps.delete(OWN_NAMESPACE, approval.metadata.name);
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([]));
      maps.put(approval);
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([FOREIGN]));
      put('notes-alice', manifestText('notes', [OWN]));
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([OWN]));
    });

    it('end at the next start where the app was uninstalled while nobody watched, but for what the operator wrote', async () => {
      installApp(server, { app: 'notes', user: 'alice', ops: [FOREIGN] });
      installApp(server, { app: 'desk', user: 'alice', ops: [FOREIGN] });
      await open();
      const approvals = new WatchedGrantApprovals(
        OWN_NAMESPACE,
        informerDepsOf(server, new SystemMonotonicTime()),
      );
      const of = { user: 'alice', workspace: 'mail', operations: ['ListSecret'] as const };
      await approvals.approve({ ...of, app: 'notes' });
      await approvals.approve({ ...of, app: 'desk' });
      const byOperator = approvalMap({ ...of, app: 'notes', operations: 'CreateSecret' });
      server.of('configmaps').put(byOperator);
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([FOREIGN]));
      await eventually(() => expect(grantsOf('alice', 'desk')).toEqual([FOREIGN]));
      await close();
      server.of('configmaps').delete('notes-alice', 'olares-manifest');
      server.of('namespaces').delete(undefined, 'notes-alice');
      await open();
      await eventually(() => expect(server.of('configmaps').list(OWN_NAMESPACE)).toHaveLength(2));
      installApp(server, { app: 'notes', user: 'alice', ops: [FOREIGN] });
      await eventually(() => expect(pendingOf('alice', 'notes')).toEqual([FOREIGN]));
      expect(grantsOf('alice', 'desk')).toEqual([FOREIGN]);
      expect(server.of('configmaps').get(OWN_NAMESPACE, byOperator.metadata.name)).toBeDefined();
    });

    it('are stored where the user withdraws the earlier one at the same moment', async () => {
      const deps = informerDepsOf(server, new SystemMonotonicTime());
      let withdrawals = 0;
      const withdrawn = async (call: ApiCall) => {
        const [map] = server.of('configmaps').list(OWN_NAMESPACE);
        if (call.method === 'PATCH' && map?.metadata.name !== undefined && withdrawals++ < 2)
          server.of('configmaps').delete(OWN_NAMESPACE, map.metadata.name);
        return deps.api.send(call);
      };
      const api = { send: withdrawn } as typeof deps.api;
      const approvals = new WatchedGrantApprovals(OWN_NAMESPACE, { ...deps, api });
      const of = { user: 'alice', app: 'notes', workspace: 'mail' };
      await approvals.approve({ ...of, operations: ['ListSecret'] });
      await approvals.approve({ ...of, operations: ['CreateSecret'] });
      await approvals.approve({ ...of, operations: ['DeleteSecret'] });
      expect(withdrawals).toBe(2);
      expect(server.of('configmaps').list(OWN_NAMESPACE)).toMatchObject([
        { data: { ...of, operations: 'DeleteSecret' } },
      ]);
    });

    it('count for every user where the operator approved so', async () => {
      installApp(server, { app: 'notes', user: 'alice', ops: [FOREIGN] });
      installApp(server, { app: 'notes', user: 'bob', ops: [FOREIGN] });
      installApp(server, { app: 'chat', user: 'bob', ops: [FOREIGN] });
      await open();
      server
        .of('configmaps')
        .put(approvalMap({ user: '*', app: 'notes', workspace: 'mail', operations: 'ListSecret' }));
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([FOREIGN]));
      expect(grantsOf('bob', 'notes')).toEqual([FOREIGN]);
      expect(grantsOf('bob', 'chat')).toEqual([]);
    });

    it.each([
      ['in a foreign namespace', {}, 'notes-alice'],
      ['for another user', { user: 'bob' }],
      ['for another app', { app: 'mail' }],
      ['for another workspace', { workspace: 'mail-x' }],
      ['for another operation', { operations: 'CreateSecret' }],
      ['for a pattern of apps', { app: '*' }],
      ['for a pattern of workspaces', { workspace: '*' }],
      ['for a pattern of operations', { operations: '*' }],
      ['with an unknown operation', { operations: 'ListSecret,All' }],
      ['with an operation twice', { operations: 'ListSecret,ListSecret' }],
      ['with a blank', { operations: 'ListSecret, CreateSecret' }],
      ['with no operation', { operations: '' }],
      ['with another letter case', { user: 'Alice' }],
      ['with a further field', { note: 'x' }],
    ])('stay pending with an approval %s', async (_, change, namespace = OWN_NAMESPACE) => {
      installApp(server, { app: 'notes', user: 'alice', ops: [FOREIGN] });
      const data = { user: 'alice', app: 'notes', workspace: 'mail', operations: 'ListSecret', ...change };
      server.of('configmaps').put(approvalMap(data, namespace));
      await open();
      expect(grantsOf('alice', 'notes')).toEqual([]);
      expect(pendingOf('alice', 'notes')).toEqual([FOREIGN]);
    });

    it('name an approval that cannot be read as a problem', async () => {
      const data = { user: 'alice', app: 'notes', workspace: 'mail', operations: 'All' };
      const map = approvalMap(data);
      server.of('configmaps').put(map);
      await open();
      expect(source.status().problems).toEqual([
        expect.objectContaining({ source: `ConfigMap ${OWN_NAMESPACE}/${map.metadata.name}` }),
      ]);
      server.of('configmaps').put({ ...map, data: { ...data, operations: 'ListSecret' } });
      await eventually(() => expect(source.status().problems).toEqual([]));
    });
  });

  describe('with names that begin alike', () => {
    it.each([
      ['notes', true],
      ['notes-', true],
      ['notes-desk', true],
      ['notes.desk', true],
      ['notes_desk', true],
      ['notes-pro', false],
      ['notes-pro-x', false],
      ['notes-pro.x', false],
      ['notes-prox', true],
      ['notesx', false],
      ['note', false],
      ['Notes', false],
      ['NOTES-desk', false],
      ['settings', false],
      ['dashboard', false],
    ])('workspace %s is notes’ own: %s, where notes-pro is installed too', async (workspace, isOwn) => {
      server.of('namespaces').put(namespaceObject('notes-pro-alice', 'alice'));
      const op = `ListSecret?workspace=${workspace}`;
      installApp(server, { app: 'notes', user: 'alice', ops: [op] });
      await open();
      expect(grantsOf('alice', 'notes')).toEqual(isOwn ? [op] : []);
      expect(pendingOf('alice', 'notes')).toEqual(isOwn ? [] : [op]);
    });

    it('a workspace goes to the app with the longer name when that is installed, and back when it is gone', async () => {
      const ops = ['ListSecret?workspace=notes-pro-x', 'ListSecret?workspace=notes-pro'];
      installApp(server, { app: 'notes', user: 'alice', ops });
      installApp(server, { app: 'notes-pro', user: 'bob', ops: [] });
      await open();
      expect(grantsOf('alice', 'notes')).toHaveLength(2);
      installApp(server, { app: 'notes-pro', user: 'alice', ops });
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([]));
      await eventually(() => expect(grantsOf('alice', 'notes-pro')).toHaveLength(2));
      server.of('namespaces').delete(undefined, 'notes-pro-alice');
      await eventually(() => expect(grantsOf('alice', 'notes')).toHaveLength(2));
    });

    it.each<[string, () => void]>([
      ['its manifest cannot be read', () => void put('notes-alice', '[')],
      ['its manifest names another app', () => void put('notes-alice', manifestText('mail', []))],
      ['it has a second manifest', () => void put('notes-alice', manifestText('notes', []), 'second')],
      [
        'its manifest is being deleted for good',
        () => {
          const map = manifestMap('notes-alice', manifestText('notes', [OWN]));
          const metadata = { ...map.metadata, deletionTimestamp: 'x', finalizers: ['example.com/x'] };
          server.of('configmaps').put({ ...map, metadata });
        },
      ],
    ])('an app holds no later app’s own workspace by what it stated before, where %s', async (_, breaks) => {
      const ops = ['ListSecret?workspace=notes-pro', OWN];
      installApp(server, { app: 'notes', user: 'alice', ops });
      await open();
      expect(source.holdersOf('alice', 'notes-pro')).toEqual(['notes']);
      breaks();
      await eventually(() => expect(grantsOf('alice', 'notes')).toEqual(['not installed']));
      // It keeps its workspaces although it is not served.
      expect(source.holdersOf('alice', 'notes-pro')).toEqual(['notes']);
      installApp(server, { app: 'notes-pro', user: 'alice', ops: ['ListSecret'] });
      await eventually(() => expect(source.find('alice', 'notes-pro')).toBeDefined());
      const caller = { app: 'notes-pro', user: 'alice', operations: 'any' } as const;
      new GrantsService(source, 'deny').authorize(caller, 'ListSecret', 'notes-pro');
      expect(source.holdersOf('alice', 'notes-desk')).toEqual(['notes']);
      server.of('configmaps').delete('notes-pro-alice', 'olares-manifest');
      server.of('namespaces').delete(undefined, 'notes-pro-alice');
      await eventually(() => expect(source.holdersOf('alice', 'notes-pro')).toEqual(['notes']));
    });

    it('an app has no workspace by its name that a caller without manifest holds', async () => {
      const ops = ['ListSecret', OWN];
      installApp(server, { app: 'notes', user: 'alice', ops });
      await open('notes');
      expect(grantsOf('alice', 'notes')).toEqual([OWN]);
      expect(pendingOf('alice', 'notes')).toEqual(['ListSecret?workspace=notes']);
    });

    it('an app called like a component of Olares has none of its workspaces', async () => {
      installApp(server, {
        app: 'settings',
        user: 'alice',
        ops: ['ListSecret', 'ListSecret?workspace=settings-x'],
      });
      await open();
      expect(grantsOf('alice', 'settings')).toEqual([]);
      expect(pendingOf('alice', 'settings')).toHaveLength(2);
    });
  });

  it('grant an app nothing more for what it writes into its own ConfigMap', async () => {
    installApp(server, { app: 'mail', user: 'alice', ops: ['CreateSecret'] });
    installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
    await open();
    put(
      'notes-alice',
      manifestText('notes', [
        OWN,
        FOREIGN,
        'RetrieveSecret?workspace=mail-x',
        'ListSecret?workspace=settings',
      ]),
    );
    await eventually(() => expect(pendingOf('alice', 'notes')).toHaveLength(3));
    expect(grantsOf('alice', 'notes')).toEqual([OWN]);
    put('notes-alice', manifestText('mail', [FOREIGN]));
    await eventually(() => expect(grantsOf('alice', 'notes')).toEqual(['not installed']));
    expect(grantsOf('alice', 'mail')).toEqual(['CreateSecret?workspace=mail']);
  });

  it('decide nothing before the namespaces and the approvals were listed as well', async () => {
    installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
    server.forbidden.add('namespaces');
    await open();
    expect(source.status()).toMatchObject({ ready: false, installedApps: 0, problems: [] });
    server.forbidden.clear();
    await eventually(() => expect(source.status()).toMatchObject({ ready: true, installedApps: 1 }), 5_000);
  });

  it.each<[string, () => void]>([
    ['the namespaces alone', () => server.forbidden.add('namespaces')],
    ['all', () => (server.failing = { status: 500, reason: 'InternalError' })],
  ])(
    'are unavailable by one line of the log from which on every request is 503 where %s cannot be read, and available by one',
    async (_what, fail) => {
      installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
      const time = await openAtFixedTime();
      const pass = async (seconds: number, atOnce = 2): Promise<void> => {
        for (let second = 0; second < seconds; second += atOnce) {
          time.advance(atOnce * 1_000);
          await socketsSettle(6);
        }
      };
      const told = () =>
        logged.map(({ event }) => event).filter((event) => /^grants_(un)?available$/.test(event));
      fail();
      server.dropConnections();
      await pass(590, 10);
      expect([source.status().ready, told()]).toEqual([true, []]);
      await pass(40);
      expect([source.status().ready, told()]).toEqual([false, ['grants_unavailable']]);
      // One kind of resource after the other can be read again.
      server.forbidden.add('namespaces');
      server.failing = undefined;
      await pass(60);
      expect([source.status().ready, told()]).toEqual([false, ['grants_unavailable']]);
      server.forbidden.clear();
      await pass(60);
      expect([source.status().ready, told()]).toEqual([true, ['grants_unavailable', 'grants_available']]);
      expect(logged.map(({ event }) => event)).toContain('kubernetes_outdated_ended');
    },
    60_000,
  );

  it('are not told as pending at a start only since the approvals are listed after the manifests', async () => {
    installApp(server, { app: 'notes', user: 'alice', ops: [FOREIGN] });
    server
      .of('configmaps')
      .put(approvalMap({ user: 'alice', app: 'notes', workspace: 'mail', operations: 'ListSecret' }));
    await open();
    await eventually(() => expect(grantsOf('alice', 'notes')).toEqual([FOREIGN]));
    expect(logged.map(({ event }) => event)).not.toContain('grants_pending');
  });

  it('are listed in small pages where somebody fills a namespace with large ConfigMaps', async () => {
    installApp(server, { app: 'notes', user: 'alice', ops: [OWN] });
    for (let at = 0; at < 20; at += 1) put('notes-bob', 'x'.repeat(1024 * 1024), `large-${at}`);
    await open();
    await eventually(() => expect(source.status().ready).toBe(true), 10_000);
    expect(grantsOf('alice', 'notes')).toEqual([OWN]);
    const limits = server.requests
      .filter(({ path, query }) => path === '/api/v1/configmaps' && query.get('watch') === null)
      .map(({ query }) => Number(query.get('limit')));
    expect(limits.slice(0, 2)).toEqual([500, 63]);
    expect(Math.min(...limits)).toBe(8);
  });
});
