import type { MonotonicTime } from '../time/clock';
import { type KubeObject, ObjectLister } from '../kubernetes/kube-object';
import { type KubernetesApi, kubernetesFailureOf, KubernetesFailure } from '../kubernetes/kubernetes-api';
import { isAccessObject, RBAC_ROOT } from './access-roles';
import { collectionPath, OURS_SELECTOR } from './registered-objects';

interface Collection {
  readonly root: string;
  readonly plural: string;
  /** Returns true for an object of ours; by default every one with our label is. */
  readonly isOurs?: (object: KubeObject) => boolean;
}

const COLLECTIONS: readonly Collection[] = [
  { root: '/apis/sys.bytetrade.io/v1alpha1', plural: 'providerregistries' },
  { root: '/apis/apr.bytetrade.io/v1alpha1', plural: 'syseventregistries' },
];

/** Bindings first: what is left when it is broken off then lets nobody through. */
const ACCESS_COLLECTIONS: readonly Collection[] = ['clusterrolebindings', 'clusterroles'].map((plural) => ({
  root: RBAC_ROOT,
  plural,
  isOurs: isAccessObject,
}));

const TIMEOUT_MS = 30_000;
/** A replica of ours that is still terminating may create an object again. */
const ROUND_EVERY_MS = 15_000;
const MAX_ROUNDS = 10;
const DELETES_AT_ONCE = 8;

/**
 * Removes every object that this service registered, until two rounds in a row find none. Returns how many were removed.
 * @param withRoles false where there are no ClusterRoles of ours, and no right to list them
 * @throws KubernetesFailure
 */
export async function unregister(
  api: KubernetesApi,
  time: MonotonicTime,
  { withRoles = true }: { readonly withRoles?: boolean } = {},
): Promise<number> {
  const collections = withRoles ? [...COLLECTIONS, ...ACCESS_COLLECTIONS] : COLLECTIONS;
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
  for (const { root, plural, isOurs = () => true } of collections) {
    const ours = (await labelledIn(api, `${root}/${plural}`)).filter(isOurs);
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
