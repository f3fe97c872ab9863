import { IdentityUnavailable } from '../errors/request-errors';
import { appInNamespace, NamespaceOwners, type UserPresence } from '../authn/caller';
import { Informer, type InformerDeps } from './informer';
import type { KubeObject, ListOptions } from './kube-object';
import { isBeingDeleted, labelOf, STRANGERS_PAGE_BYTES } from './kube-object';
import type { ServiceAccountName } from '../authn/peer-verifier';
import { canBeIn, canonicalAddress, canonicalAddresses, USER } from '../authn/peer-verifier';
import { fieldsOf, itemsOf, ownField } from '../json/json';

const OWNER = 'bytetrade.io/ns-owner';
const SYSTEM_NAMESPACE = 'user-system-';

/** A namespace as it was last listed. */
export interface OwnedNamespace {
  /** The value of its label `bytetrade.io/ns-owner`; '' where there is none. */
  readonly owner: string;
  readonly isBeingDeleted: boolean;
}

/** What follows the namespaces; each call comes in the same synchronous step as the change. */
export interface NamespaceListener {
  /** A namespace is new, gone, or has another owner or state. @param users the users whose appsOf() changed with it */
  readonly changed: (namespace: string, users: readonly string[]) => void;
  /** All namespaces were listed. */
  readonly listed?: () => void;
  /** They have become too old to count, or no longer are. */
  readonly outdated?: () => void;
}

/** Watches the namespaces of the cluster for the label of their owner; a user exists as long as their system namespace does. */
export class WatchedNamespaceOwners extends NamespaceOwners implements UserPresence {
  private readonly namespaces: Informer<OwnedNamespace>;
  private readonly gone: ((user: string) => void)[] = [];
  private readonly listeners = new Set<NamespaceListener>();
  /** The apps that have a namespace of their own, by user. */
  private readonly apps = new Map<string, Set<string>>();
  /** The namespaces of apps, as `apps` has them. */
  private readonly known = new Map<string, OwnedNamespace>();

  constructor(deps: InformerDeps) {
    super();
    this.namespaces = new Informer<OwnedNamespace>(
      {
        path: '/api/v1/namespaces',
        read: ownerIn,
        onPut: (name, namespace) => this.put(name, namespace),
        onRemoved: (name) => this.removed(name),
        onListed: () => this.listeners.forEach(({ listed }) => listed?.()),
        onOutdated: (isOutdated) => {
          this.namespaces.logOutdated(isOutdated);
          this.listeners.forEach(({ outdated }) => outdated?.());
        },
      },
      deps,
    );
    this.namespaces.start();
  }

  ownerOf(namespace: string): string | undefined {
    return this.current().get(namespace)?.owner || undefined;
  }

  /** The grants of a user end with their system namespace, and not before it is completely removed. */
  isHere(user: string): boolean {
    return this.current().get(SYSTEM_NAMESPACE + user) !== undefined;
  }

  onGone(listener: (user: string) => void): void {
    this.gone.push(listener);
  }

  /** Tells the listener of the namespaces that are there, and from now on of each change. Returns what ends that. */
  listen(listener: NamespaceListener): () => void {
    for (const name of this.namespaces.keys()) listener.changed(name, []);
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The mirror of the namespaces, whatever its age. */
  get informer(): Pick<Informer<OwnedNamespace>, 'get' | 'listed' | 'ageMs' | 'syncError' | 'firstOutcome'> {
    return this.namespaces;
  }

  /** Returns the app that has this namespace, whatever the age of the mirror; undefined where it is no app's. */
  appIn(namespace: string): { readonly app: string; readonly user: string } | undefined {
    const user = this.known.get(namespace)?.owner ?? '';
    const app = appInNamespace(namespace, user);
    return app === undefined ? undefined : { app, user };
  }

  /** Returns the apps of a user by their namespaces, whether or not these are served. */
  appsOf(user: string): ReadonlySet<string> {
    return this.apps.get(user) ?? new Set();
  }

  close(): Promise<void> {
    return this.namespaces.stop();
  }

  /** @throws IdentityUnavailable where the namespaces are too old to decide by */
  private current(): Informer<OwnedNamespace> {
    if (this.namespaces.isOutdated) throw new IdentityUnavailable('The Kubernetes API server');
    return this.namespaces;
  }

  private put(name: string, namespace: OwnedNamespace): void {
    const before = this.known.get(name);
    if (before?.owner === namespace.owner && before.isBeingDeleted === namespace.isBeingDeleted) return;
    this.leave(name);
    const { owner } = namespace;
    const app = appInNamespace(name, owner);
    if (app !== undefined) {
      this.known.set(name, namespace);
      this.apps.set(owner, (this.apps.get(owner) ?? new Set()).add(app));
    }
    this.tell(name, before?.owner, app === undefined ? undefined : owner);
  }

  private removed(name: string): void {
    const before = this.known.get(name);
    this.leave(name);
    this.tell(name, before?.owner);
    if (!name.startsWith(SYSTEM_NAMESPACE)) return;
    for (const listener of this.gone) listener(name.slice(SYSTEM_NAMESPACE.length));
  }

  private leave(name: string): void {
    const owner = this.known.get(name)?.owner;
    if (owner === undefined) return;
    this.known.delete(name);
    const apps = this.apps.get(owner);
    apps?.delete(appInNamespace(name, owner) ?? '');
    if (apps?.size === 0) this.apps.delete(owner);
  }

  private tell(namespace: string, ...owners: readonly (string | undefined)[]): void {
    const users = [...new Set(owners)].filter((owner) => owner !== undefined);
    for (const { changed } of this.listeners) changed(namespace, users);
  }
}

function ownerIn(namespace: KubeObject): OwnedNamespace {
  const owner = labelOf(namespace, OWNER);
  return { owner: typeof owner === 'string' ? owner : '', isBeingDeleted: isBeingDeleted(namespace) };
}

/** Watches the pods of ServiceAccounts and finds them by their address. */
export class WatchedPods {
  private readonly informers: readonly Informer<Pod>[];
  private readonly pods = new Map<string, WatchedPod>();
  /** By address, the keys of the pods that have it. */
  private readonly keysByAddress = new Map<string, Set<string>>();

  constructor(accounts: readonly ServiceAccountName[], deps: InformerDeps) {
    const selections = new Map(accounts.map(podsOf).map((pods) => [JSON.stringify(pods), pods]));
    this.informers = [...selections.values()].map((selection, index) => {
      const informer: Informer<Pod> = new Informer(
        {
          ...selection,
          maxPageBytes: STRANGERS_PAGE_BYTES,
          read: (pod) => podIn(pod, accounts),
          onPut: (key, pod) => this.put(`${index} ${key}`, { ...pod, informer }),
          onRemoved: (key) => this.remove(`${index} ${key}`),
        },
        deps,
      );
      return informer;
    });
    for (const informer of this.informers) informer.start();
  }

  /**
   * Returns the ServiceAccount of the running pod at this address; undefined where there is none, or several that differ.
   * Addresses that were last confirmed too long ago prove nothing: another pod may have them by now.
   */
  serviceAccountAt(address: string): ServiceAccountName | undefined {
    const keys = this.keysByAddress.get(canonicalAddress(address) ?? '') ?? [];
    const pods = [...keys].map((key) => this.pods.get(key)).filter((pod) => pod !== undefined);
    const proof = pods.find(({ informer, isRunning }) => isRunning && !informer.isOutdated);
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

/** Reads a pod. It has no address of its own on the host's network, once it has ended, and where none of the accounts can be: anybody may state one there. */
function podIn(pod: KubeObject, accounts: readonly ServiceAccountName[]): Pod {
  const { serviceAccountName: name, hostNetwork = false } = fieldsOf(pod.body['spec']);
  const { phase, podIPs } = fieldsOf(pod.body['status']);
  const hasOwn = hostNetwork === false && phase !== 'Succeeded' && phase !== 'Failed';
  const counts = hasOwn && accounts.some((account) => canBeIn(account, pod.namespace));
  const ips = counts ? itemsOf(podIPs).map((entry) => ownField(entry, 'ip')) : [];
  return {
    account: { namespace: pod.namespace, name: typeof name === 'string' ? name : '' },
    addresses: canonicalAddresses(ips),
    isRunning: phase === 'Running' && !isBeingDeleted(pod),
  };
}
