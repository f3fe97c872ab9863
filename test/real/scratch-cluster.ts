import type { RequestOptions } from 'node:https';
import { SystemMonotonicTime } from '../../src/time/clock';
import { kubeConfigConnection } from '../../src/kubernetes/kube-config';
import { type ApiCall, KubernetesApi, KubernetesFailure } from '../../src/kubernetes/kubernetes-api';
import { OLARES_CRDS } from './olares-crds';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

if ((process.env['KUBECONFIG'] ?? '') === '') throw new Error('KUBECONFIG must name a scratch cluster');

export const time = new SystemMonotonicTime();
const connection = kubeConfigConnection(process.env);
export const api = new KubernetesApi(connection, time);
let ours = false;

/** jest runs the hooks of inner suites although an outer one failed: nothing is written to a cluster that is not ours. */
export async function send(method: ApiCall['method'], path: string, body?: unknown): Promise<unknown> {
  if (!ours && method !== 'GET') throw new Error('this cluster is not ours');
  return call(method, path, body);
}

function call(method: ApiCall['method'], path: string, body?: unknown): Promise<unknown> {
  return api.send({ method, path, timeoutMs: 10_000, ...(body === undefined ? {} : { body }) });
}

export function list(path: string, query: Readonly<Record<string, string>>): Promise<unknown> {
  return api.send({ method: 'GET', path, query, timeoutMs: 10_000 });
}

const namespaces = new Set<string>();
const made: string[] = [];
/** The paths of objects of the whole cluster, and of those in namespaces that are not ours. */
const objects: string[] = [];

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

/** Waits for what an earlier run left on its way out; anything else that is there stays as it is. */
async function untilGone(path: string): Promise<void> {
  await insist(async () => {
    const isGone = await call('GET', path).then(isOnItsWayOut, isMissing);
    if (isGone === 'on its way out') throw new Error(`${path} is still on its way out`);
  });
}

function isOnItsWayOut(object: unknown): 'there' | 'on its way out' {
  const { metadata } = object as { readonly metadata: { readonly deletionTimestamp?: unknown } };
  return metadata.deletionTimestamp === undefined ? 'there' : 'on its way out';
}

function isMissing(error: unknown): 'missing' {
  if (error instanceof KubernetesFailure && error.status === 404) return 'missing';
  throw error;
}

/** The kinds of Olares. An AlreadyExists ends the run: that cluster is somebody's, and its objects are not ours to touch. */
export async function furnish(): Promise<void> {
  for (const crd of OLARES_CRDS) {
    await untilGone(`${CRDS}/${crd.metadata.name}`);
    await call('POST', CRDS, crd);
    ours = true;
    made.push(crd.metadata.name);
    const { group, names } = crd.spec;
    await insist(() => send('GET', `/apis/${group}/v1alpha1/${names.plural}`));
  }
}

/** Resolves when all of it is gone, so that another run can begin. */
export async function clear(): Promise<void> {
  const paths = [
    ...objects.splice(0),
    ...made.splice(0).map((name) => `${CRDS}/${name}`),
    ...[...namespaces].map((name) => `/api/v1/namespaces/${name}`),
  ];
  namespaces.clear();
  for (const path of paths) await ignoring(404, send('DELETE', path));
  for (const path of paths) await untilGone(path);
}

/** Makes an object of the whole cluster, which clear() removes. @param collection its path without the name */
export async function makeObject(
  collection: string,
  object: { readonly metadata: { readonly name: string } },
): Promise<void> {
  const path = `${collection}/${object.metadata.name}`;
  await send('POST', collection, object);
  objects.push(path);
}

/** The API as a ServiceAccount sees it, which RBAC binds. */
export async function apiAs(namespace: string, name: string): Promise<KubernetesApi> {
  const request = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 3600 },
  };
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
  const answer = (await send('POST', path, request)) as { readonly status: { readonly token: string } };
  const headers = { authorization: `Bearer ${answer.status.token}` };
  const options = (): RequestOptions => {
    const { cert: _cert, key: _key, pfx: _pfx, ...rest } = connection.options();
    return { ...rest, headers };
  };
  return new KubernetesApi({ server: connection.server, options }, time);
}

export async function makeNamespace(
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  if (namespaces.has(name)) return;
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  await untilGone(`/api/v1/namespaces/${name}`);
  await ignoring(409, send('POST', '/api/v1/namespaces', body));
  namespaces.add(name);
}
