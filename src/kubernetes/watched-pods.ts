import { type ServiceAccountName, canonicalAddress } from '../authn/peer-verifier';
import { fieldsOf, itemsOf, ownField } from '../json/json';
import { isBeingDeleted, type KubeObject } from './kube-object';
import { Informer, type InformerDeps } from './informer';

/** All pods of a namespace, or those of all namespaces whose ServiceAccount has this name. */
export type PodSelection = { readonly namespace: string } | { readonly serviceAccount: string };

/** Watches the selected pods and finds them by their address. */
export class WatchedPods {
  private readonly informers: readonly Informer<Pod>[];
  private readonly pods = new Map<string, WatchedPod>();
  /** By address, the keys of the pods that have it. */
  private readonly keysByAddress = new Map<string, Set<string>>();

  constructor(
    selections: readonly PodSelection[],
    /** Addresses that were last confirmed longer ago prove nothing: another pod may have them by now. */
    private readonly maxAgeMs: number,
    deps: InformerDeps,
  ) {
    this.informers = distinct(selections).map((selection, index) => {
      const informer: Informer<Pod> = new Informer(
        {
          ...pathOf(selection),
          read: podIn,
          onPut: (key, pod) => this.put(`${index} ${key}`, { ...pod, informer }),
          onRemoved: (key) => this.remove(`${index} ${key}`),
        },
        deps,
      );
      return informer;
    });
    for (const informer of this.informers) informer.start();
  }

  /** Returns the ServiceAccount of the running pod at this address; undefined where there is none, or several that differ. */
  serviceAccountAt(address: string): ServiceAccountName | undefined {
    const keys = this.keysByAddress.get(canonicalAddress(address) ?? '') ?? [];
    const pods = [...keys].map((key) => this.pods.get(key)).filter((pod) => pod !== undefined);
    const proof = pods.find(({ informer, isRunning }) => isRunning && informer.ageMs() <= this.maxAgeMs);
    if (proof === undefined) return undefined;
    const { namespace, name } = proof.account;
    const agree = pods.every(({ account }) => account.namespace === namespace && account.name === name);
    return agree ? proof.account : undefined;
  }

  async close(): Promise<void> {
    await Promise.all(this.informers.map((informer) => informer.stop()));
  }

  private put(key: string, pod: WatchedPod): void {
    this.remove(key);
    this.pods.set(key, pod);
    for (const address of pod.addresses) {
      this.keysByAddress.set(address, (this.keysByAddress.get(address) ?? new Set()).add(key));
    }
  }

  private remove(key: string): void {
    for (const address of this.pods.get(key)?.addresses ?? []) {
      const keys = this.keysByAddress.get(address);
      keys?.delete(key);
      if (keys?.size === 0) this.keysByAddress.delete(address);
    }
    this.pods.delete(key);
  }
}

interface Pod {
  readonly account: ServiceAccountName;
  /** The pod's own addresses; none on the network of the host. */
  readonly addresses: readonly string[];
  /** False while it starts or terminates: it may have its addresses, but not for certain. */
  readonly isRunning: boolean;
}

/** A pod of one informer; two informers may have the same pod. */
interface WatchedPod extends Pod {
  readonly informer: Informer<Pod>;
}

function distinct(selections: readonly PodSelection[]): readonly PodSelection[] {
  return [...new Map(selections.map((selection) => [JSON.stringify(selection), selection])).values()];
}

function pathOf(selection: PodSelection): { readonly path: string; readonly fieldSelector?: string } {
  if ('namespace' in selection) return { path: `/api/v1/namespaces/${selection.namespace}/pods` };
  return { path: '/api/v1/pods', fieldSelector: `spec.serviceAccountName=${selection.serviceAccount}` };
}

/** Reads a pod. One on the network of the host shares the address of its node, and one that has ended has no address. */
function podIn(pod: KubeObject): Pod {
  const { serviceAccountName: name, hostNetwork = false } = fieldsOf(pod.body['spec']);
  const { phase, podIPs } = fieldsOf(pod.body['status']);
  const hasOwn = hostNetwork === false && phase !== 'Succeeded' && phase !== 'Failed';
  const ips = hasOwn ? itemsOf(podIPs).map((entry) => ownField(entry, 'ip')) : [];
  return {
    account: { namespace: pod.namespace, name: typeof name === 'string' ? name : '' },
    addresses: canonicalAddresses(ips),
    isRunning: phase === 'Running' && !isBeingDeleted(pod),
  };
}

/** Returns those of the values that are addresses. */
export function canonicalAddresses(values: readonly unknown[]): readonly string[] {
  return values
    .map((value) => (typeof value === 'string' ? canonicalAddress(value) : undefined))
    .filter((address) => address !== undefined);
}
