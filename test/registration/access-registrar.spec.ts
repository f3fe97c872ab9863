import { SystemMonotonicTime, type MonotonicTime } from '../../src/time/clock';
import type { StaticGrant } from '../../src/authz/static-grants';
import { AccessRegistrar } from '../../src/registration/access-registrar';
import { StaticRoleGrants } from '../../src/registration/registrar';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { type Logged, informerDepsOf } from '../kubernetes/informer-deps';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import type { KubeObject } from '../support/fake-api-server/fake-objects';
import { type FixedApp, FixedGrantSource } from '../support/fixed-grant-source';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const ENDPOINT = { service: 'vault', namespace: 'os-protected', port: 8080 };
const OPTIONS = { endpoint: ENDPOINT, providerName: 'secret-provider' };

function app(
  user: string,
  name: string,
  ops: readonly string[] = [`RetrieveSecret?workspace=${name}`],
): FixedApp {
  return { user, app: name, namespace: `${name}-${user}`, ops };
}

describe('the roles of the RBAC proxy', () => {
  let server: FakeApiServer;
  let grants: FixedGrantSource;
  let registrars: AccessRegistrar[];
  beforeEach(async () => {
    server = await FakeApiServer.start();
    grants = new FixedGrantSource([]);
    registrars = [];
  });
  afterEach(async () => {
    for (const registrar of registrars) await registrar.close();
    await server.stop();
  });

  const open = (time: MonotonicTime = new SystemMonotonicTime()): readonly Logged[] => {
    const deps = informerDepsOf(server, time);
    const registrar = new AccessRegistrar(OPTIONS, grants, deps);
    registrars.push(registrar);
    registrar.start();
    return deps.logged;
  };
  const roles = () => server.of('clusterroles');
  const bindings = () => server.of('clusterrolebindings');
  const role = (name: string) => roles().get(undefined, name);
  const binding = (name: string) => bindings().get(undefined, name);
  const namesOf = (objects: { list(): readonly { metadata: { name: string } }[] }) =>
    objects.list().map(({ metadata }) => metadata.name);
  const count = () => [roles().list().length, bindings().list().length];
  const writes = () => server.requests.filter(({ method }) => method !== 'GET');

  it("are two for each app, one for each host name, with one rule of all its URLs, bound to its pods' ServiceAccount", async () => {
    grants.set([
      app('alice', 'notes', ['RetrieveSecret?workspace=notes', 'CreateSecret?workspace=notes-2']),
      { ...app('b-c', 'mail'), serviceAccount: 'mailer' },
    ]);
    open();
    await eventually(() => expect(count()).toEqual([4, 4]));
    expect(role('osp:alice:notes')).toMatchObject({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: {
        labels: { 'app.kubernetes.io/managed-by': 'olares-secret-provider' },
        annotations: {
          'provider-registry-ref': 'user-system-alice/secret-provider',
          'provider-service-ref': 'vault.os-protected:8080',
          'secrets.olares.com/owner': 'os-protected/vault',
        },
      },
      rules: [
        {
          nonResourceURLs: ['/CreateSecret?workspace=notes-2', '/RetrieveSecret?workspace=notes'],
          verbs: ['create'],
        },
      ],
    });
    expect(role('osp:alice:notes:host')).toMatchObject({
      metadata: {
        annotations: {
          'provider-registry-ref': 'os-protected/vault',
          'provider-service-ref': 'vault.os-protected:8080',
        },
      },
      rules: role('osp:alice:notes')?.['rules'],
    });
    for (const name of ['osp:alice:notes', 'osp:alice:notes:host'])
      expect(binding(name)).toMatchObject({
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'notes-alice' }],
      });
    expect(binding('osp:b-c:mail')).toMatchObject({
      subjects: [{ kind: 'ServiceAccount', name: 'mailer', namespace: 'mail-b-c' }],
    });
  });

  it('are not made for an app without grants, nor for one whose namespace is not known', async () => {
    const { namespace: _unknown, ...nowhere } = app('alice', 'nowhere');
    grants.set([app('alice', 'notes'), app('alice', 'idle', []), nowhere]);
    open();
    await eventually(() => expect(count()).toEqual([2, 2]));
    expect(namesOf(roles())).toEqual(['osp:alice:notes', 'osp:alice:notes:host']);
  });

  it('follow the grants at once: they are made, changed and removed although no time passes', async () => {
    open(new FixedMonotonicTime());
    await eventually(() => expect(server.watches.size).toBe(2));
    const within = eventually;
    grants.set([app('alice', 'notes')]);
    await within(() => expect(count()).toEqual([2, 2]));
    grants.set([app('alice', 'notes', ['ListSecret?workspace=other'])]);
    await within(() =>
      expect(role('osp:alice:notes')?.['rules']).toEqual([
        { nonResourceURLs: ['/ListSecret?workspace=other'], verbs: ['create'] },
      ]),
    );
    grants.set([app('alice', 'notes', [])]);
    await within(() => expect(count()).toEqual([0, 0]));
    grants.set([app('alice', 'notes')]);
    await within(() => expect(count()).toEqual([2, 2]));
    grants.set([]);
    await within(() => expect(count()).toEqual([0, 0]));
  });

  it('of grants that come and go are removed at once, and made again ever more slowly', async () => {
    const time = new FixedMonotonicTime();
    open(time);
    await eventually(() => expect(server.watches.size).toBe(2));
    const toggle = async (): Promise<void> => {
      grants.set([app('alice', 'notes')]);
      await new Promise((resolve) => setTimeout(resolve, 50));
      grants.set([]);
      await eventually(() => expect(count()).toEqual([0, 0]));
    };
    for (let round = 0; round < 10; round += 1) await toggle();
    expect(writes().length).toBeLessThanOrEqual(24);
    grants.set([app('alice', 'notes')]);
    await eventually(() => {
      time.advance(1_000);
      expect(count()).toEqual([2, 2]);
    });
  });

  it('move with the ServiceAccount of the app', async () => {
    grants.set([app('alice', 'notes')]);
    open();
    await eventually(() => expect(count()).toEqual([2, 2]));
    grants.set([{ ...app('alice', 'notes'), serviceAccount: 'other' }]);
    await eventually(() =>
      expect(binding('osp:alice:notes')?.['subjects']).toEqual([
        { kind: 'ServiceAccount', name: 'other', namespace: 'notes-alice' },
      ]),
    );
  });

  it.each<[string, (right: KubeObject) => object]>([
    ['rules', () => ({ rules: [{ nonResourceURLs: ['*'], verbs: ['*'] }] })],
    [
      'one rule more',
      ({ rules }) => ({ rules: [...(rules as object[]), { nonResourceURLs: ['/x'], verbs: ['create'] }] }),
    ],
    [
      'annotations',
      ({ metadata }) => ({
        metadata: {
          ...metadata,
          annotations: {
            ...(metadata['annotations'] as object),
            'provider-service-ref': 'elsewhere.evil:80',
          },
        },
      }),
    ],
  ])('are patched where their %s drifted', async (_what, change) => {
    grants.set([app('alice', 'notes')]);
    open();
    await eventually(() => expect(count()).toEqual([2, 2]));
    const right = role('osp:alice:notes');
    if (right === undefined) throw new Error('no role');
    roles().put({ ...right, ...change(right) });
    await eventually(() =>
      expect(role('osp:alice:notes')).toEqual({
        ...right,
        metadata: { ...right.metadata, resourceVersion: expect.any(String) },
      }),
    );
  });

  it('are made again where they were removed, and bound to whom they should be', async () => {
    grants.set([app('alice', 'notes')]);
    open();
    await eventually(() => expect(count()).toEqual([2, 2]));
    const bound = binding('osp:alice:notes');
    roles().delete(undefined, 'osp:alice:notes');
    bindings().put({
      ...bound,
      metadata: bound?.metadata ?? { name: '' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'evil-alice' }],
    });
    await eventually(() => expect(role('osp:alice:notes')).toBeDefined());
    await eventually(() => expect(binding('osp:alice:notes')?.['subjects']).toEqual(bound?.['subjects']));
  });

  it('are made anew where a binding has the name of ours and leads to another role, which cannot be changed', async () => {
    grants.set([app('alice', 'notes')]);
    open();
    await eventually(() => expect(count()).toEqual([2, 2]));
    const bound = binding('osp:alice:notes');
    bindings().delete(undefined, 'osp:alice:notes');
    bindings().put({
      ...bound,
      metadata: bound?.metadata ?? { name: '' },
      roleRef: { ...(bound?.['roleRef'] as object), name: 'cluster-admin' },
    });
    await eventually(() => expect(binding('osp:alice:notes')?.['roleRef']).toEqual(bound?.['roleRef']));
  });

  it.each<[string, object, object]>([
    ['has no label of ours', {}, { 'secrets.olares.com/owner': 'os-protected/vault' }],
    [
      'is of another installation',
      { 'app.kubernetes.io/managed-by': 'olares-secret-provider' },
      { 'secrets.olares.com/owner': 'elsewhere/vault' },
    ],
  ])(
    'are not made where one of that name %s: it is left alone, and told',
    async (_why, labels, annotations) => {
      const foreign = roles().put({
        metadata: { name: 'osp:alice:notes', labels: labels as never, annotations },
        rules: [],
      });
      grants.set([app('alice', 'notes'), app('alice', 'mail')]);
      const time = new FixedMonotonicTime();
      const logged = open(time);
      await eventually(() => {
        time.advance(500);
        expect(registrars[0]?.problems()).toEqual([
          'The registration fails for 1 of 4 clusterroles (NotOurs): registration_failed in the log names one.',
        ]);
      });
      await eventually(() =>
        expect(namesOf(bindings())).toEqual([
          'osp:alice:mail',
          'osp:alice:mail:host',
          'osp:alice:notes:host',
        ]),
      );
      expect(logged).toContainEqual(
        expect.objectContaining({
          event: 'registration_failed',
          object: 'osp:alice:notes',
          reason: 'NotOurs',
        }),
      );
      grants.set([]);
      await eventually(() => {
        time.advance(500);
        expect(namesOf(roles())).toEqual(['osp:alice:notes']);
      });
      expect(role('osp:alice:notes')).toBe(foreign);
      expect(registrars[0]?.problems()).toEqual([]);
    },
  );

  it('of others that took the place of ours meanwhile are neither changed nor removed', async () => {
    grants.set([app('alice', 'notes'), app('alice', 'mail')]);
    open();
    await eventually(() => expect(count()).toEqual([4, 4]));
    for (const watch of server.watches) watch.fallSilent();
    const foreign = ['osp:alice:notes', 'osp:alice:mail'].map((name) => {
      roles().delete(undefined, name);
      return roles().put({ metadata: { name }, rules: [] });
    });
    grants.set([app('alice', 'notes', ['ListSecret?workspace=notes'])]);
    const done = (method: string) =>
      writes().filter((one) => one.method === method && one.path.includes('/clusterroles/')).length;
    await eventually(() => expect([done('PATCH'), done('DELETE')]).toEqual([2, 2]));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(['osp:alice:notes', 'osp:alice:mail'].map(role)).toEqual(foreign);
  });

  it('of others are never removed, whatever their names, and left ones of ours are', async () => {
    const ours = { 'app.kubernetes.io/managed-by': 'olares-secret-provider' };
    const owner = { 'secrets.olares.com/owner': 'os-protected/vault' };
    roles().put({ metadata: { name: 'cluster-admin', labels: ours, annotations: owner } });
    roles().put({ metadata: { name: 'osp:alice:theirs' } });
    roles().put({ metadata: { name: 'osp:alice:other', labels: ours } });
    for (const objects of [roles(), bindings()])
      objects.put({ metadata: { name: 'osp:bob:gone', labels: ours, annotations: owner } });
    open();
    await eventually(() => expect(count()).toEqual([3, 0]));
    expect(namesOf(roles())).toEqual(['cluster-admin', 'osp:alice:other', 'osp:alice:theirs']);
  });

  it('are not removed before the grants are completely known', async () => {
    grants.set([app('alice', 'notes'), app('alice', 'mail')]);
    open();
    await eventually(() => expect(count()).toEqual([4, 4]));
    await registrars.pop()?.close();
    const before = writes().length;
    grants = new FixedGrantSource([]);
    grants.setReady(false);
    const time = new FixedMonotonicTime();
    open(time);
    await eventually(() => expect(server.watches.size).toBe(2));
    time.advance(10_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(writes()).toHaveLength(before);
    grants.set([app('alice', 'notes')]);
    grants.setReady(true);
    await eventually(() => {
      time.advance(100);
      expect(count()).toEqual([2, 2]);
    });
  });

  it('cost nothing at a start that finds them as they should be', async () => {
    grants.set([app('alice', 'notes'), app('alice', 'mail')]);
    open();
    await eventually(() => expect(count()).toEqual([4, 4]));
    await registrars.pop()?.close();
    const before = writes().length;
    open();
    await eventually(() => expect(server.watches.size).toBe(2));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(writes()).toHaveLength(before);
  });

  it('are written by two replicas without a failure, and once', async () => {
    grants.set(Array.from({ length: 20 }, (_none, at) => app('alice', `app${at}`)));
    const logs = [open(), open()];
    await eventually(() => expect(count()).toEqual([40, 40]), 10_000);
    expect(logs.flat().filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('of a new grant overtake those of a first start, which are written at a limited pace', async () => {
    const many = Array.from({ length: 500 }, (_none, at) => app('alice', `app${at}`));
    grants.set(many);
    const time = new FixedMonotonicTime();
    open(time);
    const [burst, inASecond] = [51, 25];
    const settled = () => new Promise((resolve) => setTimeout(resolve, 100));
    await eventually(() => expect(count()).toEqual([burst, burst]));
    await settled();
    expect(count()).toEqual([burst, burst]);
    grants.set([...many, app('bob', 'new')]);
    for (let step = 0; step < 10; step++) {
      time.advance(100);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await eventually(() => expect(binding('osp:bob:new:host')).toBeDefined());
    // Roles are written in the second of their own; which bindings that lets through depends on when the watch shows them.
    await eventually(() => expect(count()[0]).toBe(burst + inASecond));
    await settled();
    expect(count()[0]).toBe(burst + inASecond);
    expect(count()[1]).toBeLessThanOrEqual(burst + inASecond);
  });

  describe('of the system’s own callers', () => {
    const FRONTEND: StaticGrant = {
      account: { namespace: 'user-space-<user>', name: 'system-frontend' },
      userFrom: 'namespace',
      userTokenRequired: true,
      ownTokenSuffices: true,
      workspaces: ['settings'],
      operations: ['ListSecret'],
    };
    const own = (namespace: string, owner: string) =>
      server.of('namespaces').put({
        metadata: { name: namespace, labels: { 'bytetrade.io/ns-owner': owner } },
      });
    let close: () => Promise<void>;
    const start = (...statics: readonly StaticGrant[]) => {
      const deps = informerDepsOf(server, new SystemMonotonicTime());
      const namespaces = new WatchedNamespaceOwners(deps);
      const source = new StaticRoleGrants(grants, statics, namespaces);
      const registrar = new AccessRegistrar(OPTIONS, source, deps);
      registrars.push(registrar);
      close = () => namespaces.close();
      registrar.start();
    };
    afterEach(() => close());

    it('are two for each user and ServiceAccount, beside those of apps', async () => {
      grants.set([app('alice', 'notes')]);
      own('user-space-alice', 'alice');
      start(FRONTEND);
      await eventually(() => expect(count()).toEqual([4, 4]));
      own('user-space-bob', 'bob');
      await eventually(() => expect(count()).toEqual([6, 6]));
      const name = 'osp:bob:user-space-bob@system-frontend';
      expect(role(name)).toMatchObject({
        metadata: { annotations: { 'provider-registry-ref': 'user-system-bob/secret-provider' } },
        rules: [{ nonResourceURLs: ['/ListSecret?workspace=settings'], verbs: ['create'] }],
      });
      expect(binding(`${name}:host`)).toMatchObject({
        subjects: [{ kind: 'ServiceAccount', name: 'system-frontend', namespace: 'user-space-bob' }],
      });
    });

    it('go with their namespace, with its label, and with the entry after a restart', async () => {
      for (const user of ['alice', 'bob', 'carol']) own(`user-space-${user}`, user);
      start(FRONTEND);
      await eventually(() => expect(count()).toEqual([6, 6]));
      server.of('namespaces').delete(undefined, 'user-space-alice');
      own('user-space-bob', 'carol');
      await eventually(() => expect(count()).toEqual([2, 2]));
      expect(role('osp:carol:user-space-carol@system-frontend')).toBeDefined();
      await close();
      await registrars.pop()?.close();
      start();
      await eventually(() => expect(count()).toEqual([0, 0]));
    });

    it('are none for one that must send the user’s token, and for one of a shared namespace', async () => {
      own('user-space-alice', 'alice');
      own('os-protected', 'alice');
      grants.set([app('alice', 'notes')]);
      const shared = { namespace: 'os-protected', name: 'infisical-sa' };
      start(
        { ...FRONTEND, ownTokenSuffices: false },
        { ...FRONTEND, account: shared, userFrom: 'X-BFL-USER', userTokenRequired: false },
      );
      await eventually(() => expect(count()).toEqual([2, 2]));
      expect(namesOf(roles())).toEqual(['osp:alice:notes', 'osp:alice:notes:host']);
    });
  });
});
