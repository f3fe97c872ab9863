import type { MonotonicTime } from '../time/clock';
import { type KubeObject, ObjectLister } from '../kubernetes/kube-object';
import { type KubernetesApi, kubernetesFailureOf, KubernetesFailure } from '../kubernetes/kubernetes-api';
import { ownField } from '../json/json';
import { isOwnAccessObject, RBAC_ROOT } from './access-roles';
import { collectionPath, OURS_SELECTOR, type ProviderEndpoint } from './registered-objects';

interface Collection {
  readonly root: string;
  readonly plural: string;
  /** Of all namespaces, where it is absent. */
  readonly namespace?: string;
  /** Returns true for an object of this installation. Others have the same label. */
  readonly isOwn: (object: KubeObject) => boolean;
}

function collectionsOf(endpoint: ProviderEndpoint): readonly Collection[] {
  const { service, namespace } = endpoint;
  const isOwnAccess = (object: KubeObject): boolean => isOwnAccessObject(object, endpoint);
  const callbackRoot = `http://${service}.${namespace}:`;
  const specOf = ({ body }: KubeObject, field: string): unknown => ownField(body['spec'], field);
  return [
    {
      root: '/apis/sys.bytetrade.io/v1alpha1',
      plural: 'providerregistries',
      isOwn: (object) =>
        specOf(object, 'deployment') === service && specOf(object, 'namespace') === namespace,
    },
    {
      root: '/apis/apr.bytetrade.io/v1alpha1',
      plural: 'syseventregistries',
      namespace,
      isOwn: (object) => String(specOf(object, 'callback')).startsWith(callbackRoot),
    },
    // Bindings first: what is left when it is broken off then lets nobody through.
    { root: RBAC_ROOT, plural: 'clusterrolebindings', isOwn: isOwnAccess },
    { root: RBAC_ROOT, plural: 'clusterroles', isOwn: isOwnAccess },
  ];
}

const TIMEOUT_MS = 30_000;
/** A replica of ours that is still terminating may create an object again. */
const ROUND_EVERY_MS = 15_000;
const MAX_ROUNDS = 10;
const DELETES_AT_ONCE = 8;

/**
 * Removes every object that this installation of the service registered, until two rounds in a row find none. Returns how many were removed.
 * @param endpoint the address that was registered, which tells the installations apart
 * @throws KubernetesFailure
 */
export async function unregister(
  api: KubernetesApi,
  time: MonotonicTime,
  endpoint: ProviderEndpoint,
): Promise<number> {
  const collections = collectionsOf(endpoint);
  let removed = 0;
  for (let round = 1, emptyRounds = 0; emptyRounds < 2; round++) {
    if (round > 1) await time.pause(ROUND_EVERY_MS, new AbortController().signal);
    const found = await removeOnce(api, collections);
    removed += found;
    emptyRounds = found === 0 ? emptyRounds + 1 : 0;
    if (emptyRounds < 2 && round >= MAX_ROUNDS) throw new KubernetesFailure('StillThere');
  }
  return removed;
}

async function removeOnce(api: KubernetesApi, collections: readonly Collection[]): Promise<number> {
  let removed = 0;
  for (const { root, plural, namespace: listed, isOwn } of collections) {
    const ours = (await labelledIn(api, collectionPath(root, plural, listed))).filter(isOwn);
    for (let from = 0; from < ours.length; from += DELETES_AT_ONCE) {
      const paths = ours
        .slice(from, from + DELETES_AT_ONCE)
        .map(({ namespace, name }) => `${collectionPath(root, plural, namespace)}/${name}`);
      await Promise.all(
        paths.map((path) => unlessMissing(api.send({ method: 'DELETE', path, timeoutMs: TIMEOUT_MS }))),
      );
    }
    removed += ours.length;
  }
  return removed;
}

async function labelledIn(api: KubernetesApi, path: string): Promise<readonly KubeObject[]> {
  const lister = new ObjectLister({ path, labelSelector: OURS_SELECTOR, read: (object) => object }, api);
  // The cluster may no longer have the kind itself.
  const listed = await unlessMissing(lister.list(new Map()));
  return [...(listed?.objects.values() ?? [])];
}

async function unlessMissing<T>(sent: Promise<T>): Promise<T | undefined> {
  try {
    return await sent;
  } catch (error: unknown) {
    if (kubernetesFailureOf(error).status === 404) return undefined;
    throw error;
  }
}
