import { SystemMonotonicTime } from '../../src/clock/system-monotonic-time';
import { kubeConfigConnection } from '../../src/kubernetes/kube-config.connection';
import { type ApiCall, KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { KubernetesFailure } from '../../src/kubernetes/kubernetes-failure';
import { OLARES_CRDS } from './olares-crds';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

if ((process.env['KUBECONFIG'] ?? '') === '') throw new Error('KUBECONFIG must name a scratch cluster');

export const time = new SystemMonotonicTime();
export const api = new KubernetesApi(kubeConfigConnection(), time);
let ours = false;

/** jest runs the hooks of inner suites although an outer one failed: nothing is written to a cluster that is not ours. */
export async function send(method: ApiCall['method'], path: string, body?: unknown): Promise<unknown> {
  if (!ours && method !== 'GET') throw new Error('this cluster is not ours');
  return call(method, path, body);
}

function call(method: ApiCall['method'], path: string, body?: unknown): Promise<unknown> {
  return api.send({ method, path, timeoutMs: 10_000, ...(body === undefined ? {} : { body }) });
}

const namespaces = new Set<string>();
const made: string[] = [];

/** Repeats until the cluster does it: a new CRD takes a moment to be served. */
export async function insist(action: () => Promise<unknown>): Promise<void> {
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

export async function ignoring(status: number, action: Promise<unknown>): Promise<void> {
  await action.catch((error: unknown) => {
    if (!(error instanceof KubernetesFailure) || error.status !== status) throw error;
  });
}

/** The kinds of Olares. An AlreadyExists ends the run: that cluster is somebody's, and its objects are not ours to touch. */
export async function furnish(): Promise<void> {
  for (const crd of OLARES_CRDS) {
    await call('POST', CRDS, crd);
    ours = true;
    made.push(crd.metadata.name);
    const { group, names } = crd.spec;
    await insist(() => send('GET', `/apis/${group}/v1alpha1/${names.plural}`));
  }
}

export async function clear(): Promise<void> {
  for (const name of made.splice(0)) await send('DELETE', `${CRDS}/${name}`);
  for (const name of namespaces) await ignoring(404, send('DELETE', `/api/v1/namespaces/${name}`));
  namespaces.clear();
}

export async function makeNamespace(
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  if (namespaces.has(name)) return;
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  await ignoring(409, send('POST', '/api/v1/namespaces', body));
  namespaces.add(name);
}
