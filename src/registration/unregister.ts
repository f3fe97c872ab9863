import type { MonotonicTime } from '../time/clock';
import { readPage } from '../kubernetes/kube-object';
import { type KubernetesApi, kubernetesFailureOf, KubernetesFailure } from '../kubernetes/kubernetes-api';
import { OURS } from './manifests';

const COLLECTIONS = [
  ['/apis/sys.bytetrade.io/v1alpha1', 'providerregistries'],
  ['/apis/apr.bytetrade.io/v1alpha1', 'syseventregistries'],
] as const;

const TIMEOUT_MS = 30_000;
const PAGE_SIZE = 500;
/** A replica of ours that is still on its way out may make one again. */
const SECOND_LOOK_MS = 15_000;
const MAX_LOOKS = 10;

/**
 * Removes every object that this service registered, until two looks in a row find none.
 * The answer is how many were removed. @throws KubernetesFailure
 */
export async function unregister(api: KubernetesApi, time: MonotonicTime): Promise<number> {
  let removed = 0;
  for (let look = 1, clean = 0; clean < 2; look++) {
    if (look > 1) await time.pause(SECOND_LOOK_MS, new AbortController().signal);
    const found = await removeOnce(api);
    removed += found;
    clean = found === 0 ? clean + 1 : 0;
    if (clean < 2 && look >= MAX_LOOKS) throw new KubernetesFailure('StillThere');
  }
  return removed;
}

async function removeOnce(api: KubernetesApi): Promise<number> {
  let removed = 0;
  for (const [root, plural] of COLLECTIONS) {
    for (const { namespace, name } of await oursIn(api, `${root}/${plural}`)) {
      const path = `${root}/namespaces/${namespace}/${plural}/${name}`;
      await unlessMissing(api.send({ method: 'DELETE', path, timeoutMs: TIMEOUT_MS }));
      removed += 1;
    }
  }
  return removed;
}

async function oursIn(
  api: KubernetesApi,
  path: string,
): Promise<readonly { readonly namespace: string; readonly name: string }[]> {
  const found: { readonly namespace: string; readonly name: string }[] = [];
  const labelSelector = Object.entries(OURS)
    .map(([label, value]) => `${label}=${value}`)
    .join(',');
  let next: string | undefined;
  do {
    const query = {
      labelSelector,
      limit: String(PAGE_SIZE),
      ...(next === undefined ? {} : { continue: next }),
    };
    const answer = await unlessMissing(api.send({ method: 'GET', path, query, timeoutMs: TIMEOUT_MS }));
    // The kind itself may be gone from the cluster.
    if (answer === undefined) return [];
    const page = readPage(answer);
    for (const { namespace, name } of page.objects) found.push({ namespace, name });
    next = page.next;
  } while (next !== undefined);
  return found;
}

async function unlessMissing(sent: Promise<unknown>): Promise<unknown> {
  try {
    return await sent;
  } catch (error: unknown) {
    if (kubernetesFailureOf(error).status === 404) return undefined;
    throw error;
  }
}
