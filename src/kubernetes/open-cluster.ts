import type { Clock } from '../clock/clock';
import { SystemMonotonicTime } from '../clock/system-monotonic-time';
import { IdentityDependency, type IdentityDependencyObserver } from '../identity/identity-dependency';
import type { PeerProof, ServiceAccountName } from '../identity/peer-proof';
import type { UserPresence } from '../identity/user-presence';
import { ServiceAccountAuthenticator } from '../identity/service-account.authenticator';
import type { LogEvent } from '../logging/log';
import { ClusterPeerProof } from './cluster.peer-proof';
import { kubeConfigConnection } from './kube-config.connection';
import { KubernetesApi } from './kubernetes-api';
import { TokenReviewer } from './token-reviewer';
import type { CollectionSurroundings, WatchObserver } from './watched-collection-options';
import { WatchProblems } from './watch-problems';
import { WatchedNamespaceOwners } from './watched-namespace-owners';

export interface ClusterOptions {
  readonly audience: string;
  readonly trustedServiceAccounts: readonly ServiceAccountName[];
  readonly systemEventServiceAccounts: readonly ServiceAccountName[];
  readonly settingsServiceAccounts: readonly ServiceAccountName[];
  /** What was last confirmed longer ago proves nothing. */
  readonly maxAgeMs: number;
}

export interface Cluster {
  /** For further collections, and for calls by its `api`. */
  readonly around: CollectionSurroundings;
  readonly serviceAccounts: ServiceAccountAuthenticator;
  readonly peerProof: PeerProof;
  readonly users: UserPresence;
  /** What an operator should mend of the watches and the reviews, one sentence each. */
  readonly problems: () => readonly string[];
  readonly close: () => Promise<void>;
}

export interface ClusterObservers {
  readonly watches?: WatchObserver;
  readonly dependencies?: IdentityDependencyObserver;
}

/** Starts to watch whose namespaces and whose system-server pods there are. It waits for nothing. */
export function openCluster(
  options: ClusterOptions,
  clock: Clock,
  log: LogEvent,
  { watches, dependencies }: ClusterObservers = {},
): Cluster {
  const { audience, maxAgeMs, trustedServiceAccounts: trusted } = options;
  const { systemEventServiceAccounts: eventSenders, settingsServiceAccounts: settings } = options;
  const time = new SystemMonotonicTime();
  const api = new KubernetesApi(kubeConfigConnection(), time);
  const problems = new WatchProblems(watches);
  const around = { api, time, log, watches: problems, maxAgeMs };
  const deps = { time, log, ...(dependencies !== undefined && { observer: dependencies }) };
  const reviews = new IdentityDependency('token_review', deps);
  const reviewer = new TokenReviewer(api, audience, clock, time, reviews);
  const owners = new WatchedNamespaceOwners(around, maxAgeMs);
  const peerProof = new ClusterPeerProof(reviewer, { trusted, eventSenders, settings, maxAgeMs }, around);
  return {
    around,
    serviceAccounts: new ServiceAccountAuthenticator(reviewer, owners),
    peerProof,
    users: owners,
    problems: () => [...problems.sentences(), ...reviews.sentences()],
    close: async () => {
      reviews.close();
      await Promise.all([owners.close(), peerProof.close()]);
    },
  };
}
