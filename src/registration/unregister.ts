import type { MonotonicTime } from '../time/clock';
import { readPage, type KubeObject } from '../kubernetes/kube-object';
import { type KubernetesApi, kubernetesFailureOf, KubernetesFailure } from '../kubernetes/kubernetes-api';
import { OURS } from './manifests';

const COLLECTIONS = [
  ['/apis/sys.bytetrade.io/v1alpha1', 'providerregistries'],
  ['/apis/apr.bytetrade.io/v1alpha1', 'syseventregistries'],
] as const;

const TIMEOUT_MS = 30_000;
const PAGE_SIZE = 500;
/** A replica of ours that is still terminating may create an object again. */
const ROUND_EVERY_MS = 15_000;
const MAX_ROUNDS = 10;

/**
 * Removes every object that this service registered, until two rounds in a row find none. Returns how many were removed.
 * @throws KubernetesFailure
 */
export async function unregister(api: KubernetesApi, time: MonotonicTime): Promise<number> {
  let removed = 0;
  for (let round = 1, emptyRounds = 0; emptyRounds < 2; round++) {
    if (round > 1) await time.pause(ROUND_EVERY_MS, new AbortController().signal);
    const found = await removeOnce(api);
    removed += found;
    emptyRounds = found === 0 ? emptyRounds + 1 : 0;
    if (emptyRounds < 2 && round >= MAX_ROUNDS) throw new KubernetesFailure('StillThere');
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

async function oursIn(api: KubernetesApi, path: string): Promise<readonly KubeObject[]> {
  const found: KubeObject[] = [];
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
    // The cluster may no longer have the kind itself.
    if (answer === undefined) return [];
    const page = readPage(answer);
    found.push(...page.objects);
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
