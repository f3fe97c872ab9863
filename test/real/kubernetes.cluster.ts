import { parseOp } from '../../src/authz/sys-data';
import { KubernetesGrantSource } from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { manifestFeed } from '../../src/grant-sources/kubernetes/manifest-feed';
import { WatchedGrantApprovals } from '../../src/grant-sources/kubernetes/watched-grant-approvals';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { type AppToInstall, describeGrantSource } from '../conformance/grant-source.conformance';
import { approvalMap, manifestMap, manifestText } from '../support/manifest-config-map';
import { permissionOf } from '../support/application-permission';
import { openPermissions } from '../support/permission-feed';
import { describeIdentity } from './identity.cluster';
import { describeRegistration } from './registration.cluster';
import { describeAccessRoles } from './access-roles.cluster';
import { api, clear, furnish, list, makeNamespace, send, time } from './scratch-cluster';

const ROOT = '/apis/sys.bytetrade.io/v1alpha1';

beforeAll(furnish);
afterAll(clear);

interface Installed {
  readonly items: readonly { readonly metadata: { readonly name: string; readonly namespace: string } }[];
}

const pathOf = (namespace: string, name = ''): string =>
  `${ROOT}/namespaces/${namespace}/applicationpermissions${name === '' ? '' : `/${name}`}`;

/** Makes these the only ones: what is left is patched, as an operator would, and never removed and made again. */
async function install(apps: readonly AppToInstall[]): Promise<void> {
  const wanted = apps.map((app, index) => permissionOf(app, `app-${index}`));
  const { items } = (await send('GET', `${ROOT}/applicationpermissions`)) as Installed;
  const same = (a: Installed['items'][number]['metadata'], b: typeof a): boolean =>
    a.name === b.name && a.namespace === b.namespace;
  for (const { metadata } of items) {
    if (!wanted.some((one) => same(one.metadata, metadata)))
      await send('DELETE', pathOf(metadata.namespace, metadata.name));
  }
  for (const one of wanted) {
    const { namespace, name } = one.metadata;
    await makeNamespace(namespace);
    if (items.some(({ metadata }) => same(metadata, one.metadata)))
      await send('PATCH', pathOf(namespace, name), one);
    else await send('POST', pathOf(namespace), one);
  }
}

describeGrantSource('the ApplicationPermissions of a real cluster', {
  inForceWithinMs: 2000,
  open: async (apps) => {
    await install(apps);
    const source = await openPermissions({ api, time, log: () => undefined, maxAgeMs: 600_000 });
    return { source, install, dispose: () => source.close() };
  },
});

/** Where approvals are kept: no namespace of Olares, so that the suite may run beside one. */
const APPROVALS = 'osp-approvals';
const MAPS = '/api/v1/configmaps';
const LABELS = ['secrets.olares.com/manifest=true', 'secrets.olares.com/grant-approval=true'];

interface NamedMap {
  readonly metadata: { readonly name: string; readonly namespace: string };
}

/** Brings these apps' manifests into their namespaces, and approves what they state; every other ConfigMap of ours is removed. */
async function bringManifests(apps: readonly AppToInstall[]): Promise<void> {
  await makeNamespace(APPROVALS);
  const wanted: (NamedMap & { readonly data: object })[] = [];
  for (const [index, { app, user, ops }] of apps.entries()) {
    const namespace = `${app}-${user}`;
    await makeNamespace(namespace, { 'bytetrade.io/ns-owner': user });
    wanted.push(manifestMap(namespace, manifestText(app, ops), `manifest-${index}`));
    for (const op of ops) {
      const grant = parseOp(op, app);
      if (!('operation' in grant)) continue;
      const { operation: operations, workspace } = grant;
      wanted.push(approvalMap({ user, app, workspace, operations }, APPROVALS));
    }
  }
  const keyOf = ({ metadata }: NamedMap): string => `${metadata.namespace}/configmaps/${metadata.name}`;
  const byKey = new Map(wanted.map((one) => [keyOf(one), one]));
  const there = new Set<string>();
  for (const labelSelector of LABELS) {
    const { items } = (await list(MAPS, { labelSelector })) as { readonly items: readonly NamedMap[] };
    for (const one of items) there.add(keyOf(one));
  }
  for (const key of there) if (!byKey.has(key)) await send('DELETE', `/api/v1/namespaces/${key}`);
  for (const [key, one] of byKey) {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', ...one };
    if (there.has(key)) await send('PATCH', `/api/v1/namespaces/${key}`, body);
    else await send('POST', `/api/v1/namespaces/${one.metadata.namespace}/configmaps`, body);
  }
}

describeGrantSource('the manifests of a real cluster', {
  inForceWithinMs: 2000,
  hasKeys: false,
  open: async (apps) => {
    await bringManifests(apps);
    const deps = { api, time, log: () => undefined, maxAgeMs: 600_000 };
    const owners = new WatchedNamespaceOwners(deps);
    const approvals = new WatchedGrantApprovals(APPROVALS, deps);
    const feeds = [manifestFeed({ owners, approvals, reservedWorkspaces: new Set() })];
    const source = await KubernetesGrantSource.open(deps, feeds);
    const dispose = async () => {
      await source.close();
      await owners.close();
    };
    return { source, install: bringManifests, dispose };
  },
});

describeAccessRoles();
describeIdentity();
describeRegistration();
