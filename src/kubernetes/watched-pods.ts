import { type ServiceAccountName, canonicalAddress } from '../authn/peer-verifier';
import type { KubeObject } from './kube-object';
import { Informer } from './informer';
import type { InformerDeps } from './informer-options';

/** A pod that has addresses of its own. */
interface Pod {
  readonly account: ServiceAccountName;
  readonly addresses: readonly string[];
  /** False for one that starts or goes: it may hold its addresses, but not for certain. */
  readonly settled: boolean;
}

/** A pod as one collection has it; two collections may have the same pod. */
interface KnownPod extends Pod {
  readonly collection: Informer<Pod>;
}

/** All pods of a namespace, or those of all namespaces whose ServiceAccount has this name. */
export type PodSelection = { readonly namespace: string } | { readonly serviceAccount: string };

/** The selected pods, by address. */
export class WatchedPods {
  private readonly collections: readonly Informer<Pod>[];
  private readonly pods = new Map<string, KnownPod>();
  /** By address, the keys of the pods that claim it. */
  private readonly claims = new Map<string, Set<string>>();

  constructor(
    selections: readonly PodSelection[],
    /** An address may pass to another pod: what is known of it longer ago proves nothing. */
    private readonly maxAgeMs: number,
    deps: InformerDeps,
  ) {
    this.collections = distinct(selections).map((selection, index) => {
      const collection: Informer<Pod> = new Informer(
        {
          ...whereToFind(selection),
          read: podIn,
          onPut: (key, pod) => this.put(`${index} ${key}`, { ...pod, collection }),
          onRemoved: (key) => this.remove(`${index} ${key}`),
        },
        deps,
      );
      return collection;
    });
    for (const collection of this.collections) collection.start();
  }

  /** The ServiceAccount of the running pod at this address; undefined where there is none, or two that differ. */
  serviceAccountAt(address: string): ServiceAccountName | undefined {
    const keys = this.claims.get(canonicalAddress(address) ?? '') ?? [];
    const pods = [...keys].map((key) => this.pods.get(key)).filter((pod) => pod !== undefined);
    const proving = pods.find(({ collection, settled }) => settled && collection.ageMs() <= this.maxAgeMs);
    if (proving === undefined) return undefined;
    const { namespace, name } = proving.account;
    const agree = pods.every(({ account }) => account.namespace === namespace && account.name === name);
    return agree ? proving.account : undefined;
  }

  async close(): Promise<void> {
    await Promise.all(this.collections.map((collection) => collection.stop()));
  }

  private put(key: string, pod: KnownPod): void {
    this.remove(key);
    this.pods.set(key, pod);
    for (const address of pod.addresses) {
      this.claims.set(address, (this.claims.get(address) ?? new Set()).add(key));
    }
  }

  private remove(key: string): void {
    for (const address of this.pods.get(key)?.addresses ?? []) {
      const keys = this.claims.get(address);
      keys?.delete(key);
      if (keys?.size === 0) this.claims.delete(address);
    }
    this.pods.delete(key);
  }
}

function distinct(selections: readonly PodSelection[]): readonly PodSelection[] {
  return [...new Map(selections.map((selection) => [JSON.stringify(selection), selection])).values()];
}

function whereToFind(selection: PodSelection): { readonly path: string; readonly fieldSelector?: string } {
  if ('namespace' in selection) return { path: `/api/v1/namespaces/${selection.namespace}/pods` };
  return { path: '/api/v1/pods', fieldSelector: `spec.serviceAccountName=${selection.serviceAccount}` };
}

interface PodBody {
  readonly metadata: { readonly deletionTimestamp?: unknown };
  readonly spec?: { readonly hostNetwork?: unknown; readonly serviceAccountName?: unknown } | null;
  readonly status?: { readonly phase?: unknown; readonly podIPs?: unknown } | null;
}

/** A pod on the host's network shares its node's address, and one that has ended has none any more. */
function podIn({ namespace, body }: KubeObject): Pod {
  const { metadata, spec, status } = body as unknown as PodBody;
  const { serviceAccountName: name, hostNetwork = false } = spec ?? {};
  const { phase, podIPs } = status ?? {};
  const hasOwn = hostNetwork === false && phase !== 'Succeeded' && phase !== 'Failed';
  return {
    account: { namespace, name: typeof name === 'string' ? name : '' },
    addresses: hasOwn && Array.isArray(podIPs) ? addressesIn(podIPs) : [],
    settled: phase === 'Running' && metadata.deletionTimestamp === undefined,
  };
}

function addressesIn(podIPs: readonly unknown[]): readonly string[] {
  return (podIPs as readonly ({ readonly ip?: unknown } | null)[])
    .map((entry) => (typeof entry?.ip === 'string' ? canonicalAddress(entry.ip) : undefined))
    .filter((address) => address !== undefined);
}
