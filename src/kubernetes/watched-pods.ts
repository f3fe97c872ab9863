import { type ServiceAccountName, canonicalAddress } from '../authn/peer-verifier';
import { fieldsOf, itemsOf, ownField } from '../json/json';
import { isBeingDeleted, type KubeObject, type ListOptions } from './kube-object';
import { Informer, type InformerDeps } from './informer';

/** Stands for the user in the namespace of an account that each user has. */
export const USER = '<user>';

/** Watches the pods of ServiceAccounts and finds them by their address. */
export class WatchedPods {
  private readonly informers: readonly Informer<Pod>[];
  private readonly pods = new Map<string, WatchedPod>();
  /** By address, the keys of the pods that have it. */
  private readonly keysByAddress = new Map<string, Set<string>>();

  constructor(
    accounts: readonly ServiceAccountName[],
    /** Addresses that were last confirmed longer ago prove nothing: another pod may have them by now. */
    private readonly maxAgeMs: number,
    deps: InformerDeps,
  ) {
    const selections = new Map(accounts.map(podsOf).map((pods) => [JSON.stringify(pods), pods]));
    this.informers = [...selections.values()].map((selection, index) => {
      const informer: Informer<Pod> = new Informer(
        {
          ...selection,
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

/** Selects the pods of a namespace; where that depends on the user, those of the account everywhere, since users come and go. */
function podsOf({ namespace, name }: ServiceAccountName): Pick<ListOptions<Pod>, 'path' | 'fieldSelector'> {
  if (!namespace.includes(USER)) return { path: `/api/v1/namespaces/${namespace}/pods` };
  return { path: '/api/v1/pods', fieldSelector: `spec.serviceAccountName=${name}` };
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
