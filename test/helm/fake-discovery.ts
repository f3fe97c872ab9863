import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const KINDS: Readonly<Record<string, readonly (readonly [resource: string, kind: string])[]>> = {
  v1: [
    ['configmaps', 'ConfigMap'],
    ['pods', 'Pod'],
    ['secrets', 'Secret'],
    ['serviceaccounts', 'ServiceAccount'],
    ['services', 'Service'],
  ],
  'apps/v1': [
    ['deployments', 'Deployment'],
    ['statefulsets', 'StatefulSet'],
  ],
  'batch/v1': [['jobs', 'Job']],
  'sys.bytetrade.io/v1alpha1': [['providerregistries', 'ProviderRegistry']],
  'apr.bytetrade.io/v1alpha1': [['syseventregistries', 'SysEventRegistry']],
  'networking.k8s.io/v1': [['networkpolicies', 'NetworkPolicy']],
  'policy/v1': [['poddisruptionbudgets', 'PodDisruptionBudget']],
  'rbac.authorization.k8s.io/v1': [
    ['clusterroles', 'ClusterRole'],
    ['clusterrolebindings', 'ClusterRoleBinding'],
    ['roles', 'Role'],
    ['rolebindings', 'RoleBinding'],
  ],
};

/** How Helm knows its own objects; others it refuses to take over. */
const OF_THE_RELEASE = {
  labels: { 'app.kubernetes.io/managed-by': 'Helm', 'app.kubernetes.io/name': 'olares-secret-provider' },
  annotations: { 'meta.helm.sh/release-name': 'vault', 'meta.helm.sh/release-namespace': 'os-platform' },
};

/** As much of an API server as Helm asks when it renders inside of a cluster: which kinds there are, and Secrets by name. */
export class FakeDiscovery {
  /** Data of Secrets by name, base64 as ever. */
  readonly secrets = new Map<string, Readonly<Record<string, string>>>();
  /** Names of those that an operator had Helm keep. */
  readonly kept = new Set<string>();
  /** Names of those that another chart of the same release made, a parent or a sibling. */
  readonly ofOtherCharts = new Set<string>();
  readonly #server: Server = createServer(({ url = '/' }, response) => {
    const path = new URL(url, 'http://fake').pathname;
    const body = discoveryAnswer(path) ?? this.#secretAt(path);
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(body ?? { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 }),
    );
  });

  static async start(): Promise<FakeDiscovery> {
    const fake = new FakeDiscovery();
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #secretAt(path: string): object | undefined {
    const [, name = ''] = /\/secrets\/(.+)$/.exec(path) ?? [];
    const data = this.secrets.get(name);
    if (data === undefined) return undefined;
    const { annotations } = OF_THE_RELEASE;
    const other = this.ofOtherCharts.has(name) ? { 'app.kubernetes.io/name': 'platform' } : {};
    const labels = { ...OF_THE_RELEASE.labels, ...other };
    const kept = this.kept.has(name) ? { 'helm.sh/resource-policy': 'keep' } : {};
    const metadata = { name, labels, annotations: { ...annotations, ...kept } };
    return { apiVersion: 'v1', kind: 'Secret', metadata, data };
  }
}

/** Which kinds there are; undefined for any other path. */
export function discoveryAnswer(path: string): object | undefined {
  if (path === '/version') return { major: '1', minor: '34', gitVersion: 'v1.34.0' };
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups() };
  const groupVersion = path.replace(/^\/apis?\//, '');
  const kinds = KINDS[groupVersion];
  if (kinds !== undefined) {
    const resources = kinds.map(([name, kind]) => ({
      name,
      kind,
      singularName: '',
      namespaced: !kind.startsWith('Cluster'),
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
    }));
    return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
  }
  return undefined;
}

function groups(): readonly object[] {
  return Object.keys(KINDS)
    .filter((groupVersion) => groupVersion.includes('/'))
    .map((groupVersion) => {
      const [name, version] = groupVersion.split('/');
      return { name, versions: [{ groupVersion, version }], preferredVersion: { groupVersion, version } };
    });
}
