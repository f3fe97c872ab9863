import { type Clock, type MonotonicTime, SystemMonotonicTime } from '../time/clock';
import { IdentityDependency, type IdentityDependencyObserver } from '../authn/identity-dependency';
import {
  type ServiceAccountName,
  maySpeakFor,
  type Peer,
  type PeerEvidence,
  PeerVerifier,
  canonicalAddress,
  canonicalAddresses,
  USER,
} from '../authn/peer-verifier';
import { ServiceAccountAuthenticator, type ServiceAccountReviewer } from '../authn/caller';
import type { LogEvent } from '../logging/log';
import { kubeConfigConnection, type KubeEnvironment } from './kube-config';
import { KubernetesApi } from './kubernetes-api';
import { TokenReviewer } from './token-reviewer';
import { type ObservedWatch, watchProblems } from './sync-errors';
import { WatchedNamespaceOwners, WatchedPods } from './watched-objects';
import { fieldsOf, itemsOf, ownField } from '../json/json';
import { type KubeObject, namespaceInKey, STRANGERS_PAGE_BYTES } from './kube-object';
import { Informer, type InformerDeps } from './informer';

interface ClusterPeerOptions {
  /** ServiceAccounts that may speak for users, e.g. of a proxy. */
  readonly trustedServiceAccounts: readonly ServiceAccountName[];
  /** ServiceAccounts that may send system events of created and deleted users. */
  readonly systemEventServiceAccounts: readonly ServiceAccountName[];
  /** ServiceAccounts of the Settings app; `<user>` in their namespace stands for the user whom it serves. */
  readonly settingsServiceAccounts: readonly ServiceAccountName[];
  /** The system's own callers; `<user>` in the namespace of their ServiceAccount stands for the user. */
  readonly staticGrants: readonly { readonly account: ServiceAccountName }[];
  /** With `off` the address of a system-server's pod proves nothing: what comes from there was written by anybody. */
  readonly systemServerProof: 'address' | 'off';
}

interface ClusterOptions extends ClusterPeerOptions {
  readonly environment: KubeEnvironment;
  readonly audience: string;
  /** Older knowledge of the cluster proves nothing. */
  readonly maxAgeMs: number;
}

interface ClusterObservers {
  /** Where the watches are to be found while they run. */
  readonly watches?: Set<ObservedWatch> | undefined;
  readonly dependencies?: IdentityDependencyObserver | undefined;
}

/** Starts to watch the owners of namespaces and the pods of system-servers, without waiting for the first lists. */
export function openCluster(
  options: ClusterOptions,
  clock: Clock,
  log: LogEvent,
  { watches = new Set(), dependencies }: ClusterObservers = {},
  time: MonotonicTime = new SystemMonotonicTime(),
) {
  const { audience, maxAgeMs } = options;
  const api = new KubernetesApi(kubeConfigConnection(options.environment), time);
  const informerDeps = { api, time, log, watches, maxAgeMs };
  const reviews = new IdentityDependency('token_review', { time, log, observer: dependencies });
  const reviewer = new TokenReviewer(api, audience, clock, time, reviews);
  const owners = new WatchedNamespaceOwners(informerDeps);
  const peerVerifier = new ClusterPeerVerifier(reviewer, options, informerDeps);
  return {
    /** For further informers, and for calls by its `api`. */
    informerDeps,
    serviceAccounts: new ServiceAccountAuthenticator(reviewer, owners),
    peerVerifier,
    namespaces: owners,
    /** Returns the problems of the watches and the reviews that an operator should fix, one sentence each. */
    problems: () => [...watchProblems(watches), ...reviews.sentences()],
    close: async () => {
      reviews.close();
      await Promise.all([owners.close(), peerVerifier.close()]);
    },
  };
}

const SERVICE = 'system-server';
const NAMESPACE = 'user-system-';

/** The addresses of a system-server's pods: `ready` for what one of them proves, `all` for what it must not prove. */
interface SliceAddresses {
  readonly all: ReadonlySet<string>;
  readonly ready: ReadonlySet<string>;
}
type Slices = ReadonlyMap<string, SliceAddresses>;

/**
 * Verifies peers with the cluster: by the EndpointSlices of each user's system-server, by the pods of the configured
 * ServiceAccounts (today's Olares components send no token), and by reviewed tokens.
 */
export class ClusterPeerVerifier extends PeerVerifier {
  /** Addresses by namespace, then by slice: a service has one slice, or a few. */
  private readonly addresses = new Map<string, Map<string, SliceAddresses>>();
  private readonly slices: Informer<SliceAddresses>;
  private readonly pods: WatchedPods;

  constructor(
    private readonly reviewer: ServiceAccountReviewer,
    private readonly options: ClusterPeerOptions,
    deps: InformerDeps,
  ) {
    super();
    const accounts = [
      ...options.trustedServiceAccounts,
      ...options.systemEventServiceAccounts,
      ...options.settingsServiceAccounts,
      ...options.staticGrants.map(({ account }) => account),
    ];
    this.pods = new WatchedPods(accounts, deps);
    this.slices = new Informer(
      {
        path: '/apis/discovery.k8s.io/v1/endpointslices',
        labelSelector: `kubernetes.io/service-name=${SERVICE}`,
        maxPageBytes: STRANGERS_PAGE_BYTES,
        read: addressesIn,
        onPut: (key, addresses) => this.put(key, addresses),
        onRemoved: (key) => this.remove(key),
      },
      deps,
    );
    this.slices.start();
  }

  provesSystemServer(peerAddress: string | undefined, user: string): boolean {
    if (this.options.systemServerProof === 'off' || this.isOutdated) return false;
    return hasAddress(this.addresses.get(NAMESPACE + user), canonicalAddress(peerAddress ?? ''), 'ready');
  }

  trustedServiceAccountOf(peer: Peer, by?: PeerEvidence): Promise<ServiceAccountName | undefined> {
    return this.oneOf(this.options.trustedServiceAccounts, peer, by);
  }

  async provesEventSender(peer: Peer): Promise<boolean> {
    return (await this.oneOf(this.options.systemEventServiceAccounts, peer)) !== undefined;
  }

  /**
   * Where a token was sent, only the token counts: a frontend that forwards an app's token forwards the app's call. A peer
   * that is a system-server is refused, whatever ServiceAccount its pods have: it forwards what anybody wrote.
   */
  async provesSettings({ address, bearer }: Peer, user: string): Promise<boolean> {
    const accounts = this.options.settingsServiceAccounts
      .map(({ namespace, name }) => ({ namespace: namespace.replace(USER, () => user), name }))
      .filter((account) => maySpeakFor(account, user));
    if (bearer !== undefined) return (await this.oneOf(accounts, { address, bearer }, 'token')) !== undefined;
    const ofSystemServer = this.addresses.get(NAMESPACE + user);
    if (this.isOutdated || hasAddress(ofSystemServer, canonicalAddress(address ?? ''), 'all')) return false;
    return (await this.oneOf(accounts, { address, bearer })) !== undefined;
  }

  override async staticAccountOf({ address, bearer }: Peer): Promise<ServiceAccountName | undefined> {
    if (this.options.staticGrants.length === 0) return undefined;
    if (bearer !== undefined) return this.reviewer.review(bearer, address);
    return this.isSystemServer(address) ? undefined : this.pods.serviceAccountAt(address ?? '');
  }

  async close(): Promise<void> {
    await Promise.all([this.slices.stop(), this.pods.close()]);
  }

  /** Returns the one of the accounts that the peer has; undefined where it has none of them. */
  private async oneOf(
    accounts: readonly ServiceAccountName[],
    { address, bearer }: Peer,
    by: PeerEvidence = 'address or token',
  ): Promise<ServiceAccountName | undefined> {
    if (accounts.length === 0) return undefined;
    const same = (found: ServiceAccountName | undefined) =>
      accounts.find(({ namespace, name }) => found?.namespace === namespace && found.name === name);
    const byAddress = by === 'token' ? undefined : same(this.pods.serviceAccountAt(address ?? ''));
    if (byAddress !== undefined && !this.comesThroughSystemServer(address)) return byAddress;
    if (bearer === undefined) return undefined;
    return same(await this.reviewer.review(bearer, address));
  }

  /** Where system-server's address proves nothing, it proves none of the accounts as which its pods may run either. */
  private comesThroughSystemServer(peerAddress: string | undefined): boolean {
    return this.options.systemServerProof === 'off' && this.isSystemServer(peerAddress);
  }

  /** Returns true where the address is that of any user's system-server, or may be one. */
  private isSystemServer(peerAddress: string | undefined): boolean {
    const address = canonicalAddress(peerAddress ?? '');
    return (
      this.isOutdated || [...this.addresses.values()].some((slices) => hasAddress(slices, address, 'all'))
    );
  }

  /** Addresses that were last confirmed too long ago prove nothing: another pod may have them by now. */
  private get isOutdated(): boolean {
    return this.slices.isOutdated;
  }

  private put(key: string, addresses: SliceAddresses): void {
    if (addresses.all.size === 0) return this.remove(key);
    const namespace = namespaceInKey(key);
    const slices = this.addresses.get(namespace) ?? new Map<string, SliceAddresses>();
    this.addresses.set(namespace, slices.set(key, addresses));
  }

  private remove(key: string): void {
    const namespace = namespaceInKey(key);
    const slices = this.addresses.get(namespace);
    slices?.delete(key);
    if (slices?.size === 0) this.addresses.delete(namespace);
  }
}

/** @param address the canonical one */
function hasAddress(slices: Slices | undefined, address: string | undefined, of: keyof SliceAddresses) {
  return [...(slices?.values() ?? [])].some((slice) => slice[of].has(address ?? ''));
}

/**
 * Returns the addresses in a slice of a user's system-server; those in other namespaces, which an app may make, are nobody's. An
 * unset condition means ready; a pod that is not, or ends, may lose its address any moment. Only the first address of an endpoint
 * counts, as for Kubernetes itself.
 */
function addressesIn({ namespace, body }: KubeObject): SliceAddresses {
  const isOfUser = namespace.startsWith(NAMESPACE) && namespace !== NAMESPACE;
  const endpoints = isOfUser ? itemsOf(body['endpoints']).map(fieldsOf) : [];
  const ready = endpoints.filter(({ conditions }) => ownField(conditions, 'ready') !== false);
  const first = ({ addresses }: (typeof endpoints)[number]) => itemsOf(addresses)[0];
  return {
    all: new Set(canonicalAddresses(endpoints.map(first))),
    ready: new Set(canonicalAddresses(ready.map(first))),
  };
}
