import { SystemMonotonicTime } from '../../src/clock/system-monotonic-time';
import { KubernetesGrantSource } from '../../src/grants/kubernetes.grant-source';
import { kubeConfigConnection } from '../../src/kubernetes/kube-config.connection';
import { type ApiCall, KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { KubernetesFailure } from '../../src/kubernetes/kubernetes-failure';
import { type AppToInstall, describeGrantSource } from '../conformance/grant-source.conformance';
import { permissionOf } from '../support/application-permission';
import { APPLICATION_PERMISSION_CRD } from './application-permission-crd';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const ROOT = '/apis/sys.bytetrade.io/v1alpha1';

if ((process.env['KUBECONFIG'] ?? '') === '') throw new Error('KUBECONFIG must name a scratch cluster');

const time = new SystemMonotonicTime();
const api = new KubernetesApi(kubeConfigConnection(), time);
const send = (method: ApiCall['method'], path: string, body?: unknown): Promise<unknown> =>
  api.send({ method, path, timeoutMs: 10_000, ...(body === undefined ? {} : { body }) });
const namespaces = new Set<string>();
let ours = false;

/** Repeats until the cluster does it: a new CRD takes a moment to be served. */
async function insist(action: () => Promise<unknown>): Promise<void> {
  for (let turn = 0; ; turn++) {
    try {
      await action();
      return;
    } catch (error: unknown) {
      if (turn === 60) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

async function ignoring(status: number, action: Promise<unknown>): Promise<void> {
  await action.catch((error: unknown) => {
    if (!(error instanceof KubernetesFailure) || error.status !== status) throw error;
  });
}

beforeAll(async () => {
  // An AlreadyExists ends the run: that cluster is somebody's, and its grants are not ours to touch.
  await send('POST', CRDS, APPLICATION_PERMISSION_CRD);
  ours = true;
  await insist(() => send('GET', `${ROOT}/applicationpermissions`));
});

afterAll(async () => {
  if (!ours) return;
  await send('DELETE', `${CRDS}/${APPLICATION_PERMISSION_CRD.metadata.name}`);
  for (const name of namespaces) await ignoring(404, send('DELETE', `/api/v1/namespaces/${name}`));
});

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
    if (!namespaces.has(namespace)) {
      const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
      await ignoring(409, send('POST', '/api/v1/namespaces', body));
      namespaces.add(namespace);
    }
    if (items.some(({ metadata }) => same(metadata, one.metadata)))
      await send('PATCH', pathOf(namespace, name), one);
    else await send('POST', pathOf(namespace), one);
  }
}

describeGrantSource('the ApplicationPermissions of a real cluster', {
  inForceWithinMs: 2000,
  open: async (apps) => {
    await install(apps);
    const source = await KubernetesGrantSource.open({ api, time, log: () => undefined });
    return { source, install, dispose: () => source.close() };
  },
});
