import { KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { AccessRegistrar } from '../../src/registration/access-registrar';
import { unregister } from '../../src/registration/unregister';
import { SystemMonotonicTime } from '../../src/time/clock';
import { informerDepsOf } from '../kubernetes/informer-deps';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { API_AUDIENCE } from '../support/fake-api-server/fake-token-review';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { podToken } from '../support/service-account-tokens';
import { type KubeManifest, listOf, namespaceOf, renderProfile } from './chart';

const manifests = renderProfile('olares');
const namespace = namespaceOf(['olares']);
const OPTIONS = {
  endpoint: { service: 'vault', namespace, port: 8080 },
  providerName: 'secret-provider',
};
const NOTES = {
  app: 'notes',
  user: 'alice',
  namespace: 'notes-alice',
  ops: ['RetrieveSecret?workspace=notes', 'ListSecret?workspace=notes'],
};
const RESOURCES = {
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Role: 'roles',
  RoleBinding: 'rolebindings',
} as const;

describe("with the rights of the chart's own ServiceAccounts alone", () => {
  let server: FakeApiServer;
  let registrar: AccessRegistrar | undefined;
  beforeEach(async () => (server = await FakeApiServer.start()));
  afterEach(async () => {
    await registrar?.close();
    registrar = undefined;
    await server.stop();
  });

  /** As Helm installs it. */
  const install = (change: (role: KubeManifest) => object = (role) => role) => {
    for (const manifest of manifests) {
      const resource = RESOURCES[manifest['kind'] as keyof typeof RESOURCES];
      if (resource === undefined) continue;
      const metadata = {
        ...(/^Cluster/.test(manifest['kind']) ? {} : { namespace }),
        ...manifest['metadata'],
      };
      server.of(resource).put({ ...change(manifest), metadata });
    }
  };
  const apiAs = (name: string): KubernetesApi => {
    const token = podToken(server, {
      namespace,
      name,
      audience: API_AUDIENCE,
      expiresAtMs: Date.now() + 3_600_000,
    });
    const options = () => ({ headers: { authorization: `Bearer ${token}` } });
    return new KubernetesApi({ server: server.url, options }, new SystemMonotonicTime());
  };
  const start = (grants: FixedGrantSource) => {
    const deps = { ...informerDepsOf(server, new SystemMonotonicTime()), api: apiAs('vault') };
    registrar = new AccessRegistrar(OPTIONS, grants, deps);
    registrar.start();
    return deps.logged;
  };
  const made = (resource: 'clusterroles' | 'clusterrolebindings') =>
    server
      .of(resource)
      .list()
      .filter(({ metadata }) => metadata.name.startsWith('osp:'));
  const post = (resource: string, body: object) =>
    apiAs('vault').send({
      method: 'POST',
      path: `/apis/rbac.authorization.k8s.io/v1/${resource}`,
      body: { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'osp:alice:mine' }, ...body },
      timeoutMs: 5000,
    });
  const subjects = [{ kind: 'ServiceAccount', name: 'default', namespace: 'evil-alice' }];
  const roleRef = (name: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name });

  it('roles and bindings are made, patched and removed, without the verbs escalate and bind', async () => {
    install();
    const grants = new FixedGrantSource([NOTES]);
    start(grants);
    await eventually(() => expect(made('clusterrolebindings')).toHaveLength(2));
    const [role] = made('clusterroles');
    server.of('clusterroles').put({ ...role, rules: [] } as never);
    await eventually(() => expect(made('clusterroles')[0]?.['rules']).toEqual(role?.['rules']));
    grants.set([]);
    await eventually(() => expect([...made('clusterroles'), ...made('clusterrolebindings')]).toEqual([]));
    expect(JSON.stringify(manifests)).not.toMatch(/"(escalate|bind)"/);
  });

  it('nothing is made without the URLs that cover what is granted', async () => {
    install((role) => ({
      ...role,
      rules: listOf(role['rules']).filter((rule) => !('nonResourceURLs' in rule)),
    }));
    const logged = start(new FixedGrantSource([NOTES]));
    await eventually(() =>
      expect(logged).toContainEqual(
        expect.objectContaining({ event: 'registration_failed', status: 403, reason: 'Forbidden' }),
      ),
    );
    expect(made('clusterroles')).toEqual([]);
  });

  it.each<[string, object]>([
    ['every URL', { nonResourceURLs: ['*'], verbs: ['create'] }],
    ['another method', { nonResourceURLs: ['/ListSecret?workspace=notes'], verbs: ['*'] }],
    ['another path', { nonResourceURLs: ['/ListSecretX'], verbs: ['create'] }],
    ['secrets', { apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
  ])('nobody is granted %s', async (_what, rule) => {
    install();
    await expect(post('clusterroles', { kind: 'ClusterRole', rules: [rule] })).rejects.toMatchObject({
      status: 403,
    });
    expect(made('clusterroles')).toEqual([]);
  });

  it('nobody is bound to a role that grants more, nor to one that is not there', async () => {
    install();
    server.of('clusterroles').put({
      metadata: { name: 'cluster-admin' },
      rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }],
    });
    const binding = (name: string) => ({ kind: 'ClusterRoleBinding', roleRef: roleRef(name), subjects });
    for (const [name, status] of [['cluster-admin', 403] as const, ['missing', 404] as const])
      await expect(post('clusterrolebindings', binding(name))).rejects.toMatchObject({ status });
    expect(made('clusterrolebindings')).toEqual([]);
  });

  it('the uninstall removes them all', async () => {
    install();
    start(new FixedGrantSource([NOTES]));
    await eventually(() => expect(made('clusterrolebindings')).toHaveLength(2));
    await registrar?.close();
    const time = new FixedMonotonicTime();
    let removed: number | undefined;
    void unregister(apiAs('vault-unregister'), time, OPTIONS.endpoint).then((count) => (removed = count));
    await eventually(() => {
      time.advance(1000);
      expect(removed).toBe(4);
    });
    expect([...made('clusterroles'), ...made('clusterrolebindings')]).toEqual([]);
  });
});
