import { type Clock, type MonotonicTime, SystemMonotonicTime } from '../time/clock';
import { IdentityDependency, type IdentityDependencyObserver } from '../authn/identity-dependency';
import type { ServiceAccountName } from '../authn/peer-verifier';
import { ServiceAccountAuthenticator } from '../authn/caller';
import type { LogEvent } from '../logging/log';
import { ClusterPeerVerifier } from './cluster.peer-verifier';
import { kubeConfigConnection, type KubeEnvironment } from './kube-config';
import { KubernetesApi } from './kubernetes-api';
import { TokenReviewer } from './token-reviewer';
import { SyncProblems, type WatchObserver } from './sync-errors';
import { WatchedNamespaceOwners } from './watched-objects';

interface ClusterOptions {
  readonly environment: KubeEnvironment;
  readonly audience: string;
  readonly trustedServiceAccounts: readonly ServiceAccountName[];
  readonly systemServerProof: 'address' | 'off';
  readonly systemEventServiceAccounts: readonly ServiceAccountName[];
  readonly settingsServiceAccounts: readonly ServiceAccountName[];
  readonly staticGrants: readonly { readonly account: ServiceAccountName }[];
  /** Older knowledge of the cluster proves nothing. */
  readonly maxAgeMs: number;
}

interface ClusterObservers {
  readonly watches?: WatchObserver | undefined;
  readonly dependencies?: IdentityDependencyObserver | undefined;
}

/** Starts to watch the owners of namespaces and the pods of system-servers, without waiting for the first lists. */
export function openCluster(
  options: ClusterOptions,
  clock: Clock,
  log: LogEvent,
  { watches, dependencies }: ClusterObservers = {},
  time: MonotonicTime = new SystemMonotonicTime(),
) {
  const { audience, maxAgeMs, systemServerProof, trustedServiceAccounts: trusted } = options;
  const { systemEventServiceAccounts: eventSenders, settingsServiceAccounts: settings } = options;
  const statics = options.staticGrants.map(({ account }) => account);
  const api = new KubernetesApi(kubeConfigConnection(options.environment), time);
  const problems = new SyncProblems(watches);
  const informerDeps = { api, time, log, watches: problems, maxAgeMs };
  const reviews = new IdentityDependency('token_review', { time, log, observer: dependencies });
  const reviewer = new TokenReviewer(api, audience, clock, time, reviews);
  const owners = new WatchedNamespaceOwners(informerDeps, maxAgeMs);
  const peerVerifier = new ClusterPeerVerifier(
    reviewer,
    { trusted, eventSenders, settings, statics, systemServerProof, maxAgeMs },
    informerDeps,
  );
  return {
    /** For further informers, and for calls by its `api`. */
    informerDeps,
    serviceAccounts: new ServiceAccountAuthenticator(reviewer, owners),
    peerVerifier,
    namespaces: owners,
    /** Returns the problems of the watches and the reviews that an operator should fix, one sentence each. */
    problems: () => [...problems.sentences(), ...reviews.sentences()],
    close: async () => {
      reviews.close();
      await Promise.all([owners.close(), peerVerifier.close()]);
    },
  };
}
