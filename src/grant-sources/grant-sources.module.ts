import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { NoPeerVerifier, PeerVerifier } from '../authn/peer-verifier';
import { ServiceAccountAuthenticator } from '../authn/service-account.authenticator';
import { UserPresence } from '../authn/user-token.verifier';
import { GrantApprovals } from '../authz/grant-approvals';
import { GrantSource } from '../authz/grant-source';
import { StaticCallers, StaticGrantSource } from '../authz/static-grants';
import { factory, Runtime } from '../bootstrap/runtime.module';
import { ServiceProblems } from '../http/controllers/health.controller';
import type { InformerDeps } from '../kubernetes/informer-options';
import type { WatchedNamespaceOwners } from '../kubernetes/watched-namespace-owners';
import { Telemetry } from '../telemetry/telemetry';
import { Clock, MonotonicTime } from '../time/clock';
import { applicationPermissions } from './kubernetes/application-permission';
import type { OpenGrantFeed } from './kubernetes/grant-feed';
import type { WatchedGrantApprovals } from './kubernetes/watched-grant-approvals';

/** What the cluster is asked for; without one, nobody can be proven by it. */
export abstract class Cluster {
  /** Undefined without a cluster. */
  abstract readonly informerDeps: InformerDeps | undefined;
  abstract readonly peerVerifier: PeerVerifier;
  abstract readonly serviceAccounts: ServiceAccountAuthenticator | undefined;
  abstract readonly users: UserPresence | undefined;
  abstract readonly namespaces: WatchedNamespaceOwners | undefined;
  /** Undefined where nothing needs to be approved. */
  abstract readonly approvals: WatchedGrantApprovals | undefined;
  abstract close(): Promise<void>;
}

export const NO_CLUSTER: Cluster = {
  informerDeps: undefined,
  peerVerifier: new NoPeerVerifier(),
  serviceAccounts: undefined,
  users: undefined,
  namespaces: undefined,
  approvals: undefined,
  close: () => Promise.resolve(),
};

async function openCluster(
  { settings: { grants }, log }: Runtime,
  clock: Clock,
  time: MonotonicTime,
  telemetry: Telemetry,
  problems: ServiceProblems,
): Promise<Cluster> {
  if (grants.kind === 'directory') return NO_CLUSTER;
  const { openCluster: open } = await import('../kubernetes/open-cluster.js');
  const cluster = open(grants, clock, log, telemetry, time);
  problems.add(cluster.problems);
  if (grants.approvalsNamespace === undefined) return { ...cluster, approvals: undefined };
  const { WatchedGrantApprovals: Approvals } = await import('./kubernetes/watched-grant-approvals.js');
  return { ...cluster, approvals: new Approvals(grants.approvalsNamespace, cluster.informerDeps) };
}

/** Imports only the chosen source: the other one would cost start time and memory. */
async function openGrantSource(
  { settings: { grants }, log }: Runtime,
  { informerDeps, namespaces, approvals }: Cluster,
): Promise<GrantSource | undefined> {
  if (grants.kind === 'directory') {
    const { DirectoryGrantSource } = await import('./directory/directory.grant-source.js');
    return DirectoryGrantSource.open({ dir: grants.dir, log });
  }
  if (informerDeps === undefined) return undefined;
  const { KubernetesGrantSource } = await import('./kubernetes/kubernetes.grant-source.js');
  const feeds: OpenGrantFeed[] = [];
  if (grants.feeds.includes('application-permissions')) feeds.push(applicationPermissions);
  if (namespaces !== undefined && approvals !== undefined) {
    const { manifestFeed } = await import('./kubernetes/manifest-feed.js');
    feeds.push(manifestFeed({ owners: namespaces, approvals }));
  }
  const source = await KubernetesGrantSource.open(informerDeps, grants.maxAgeMs, feeds);
  return grants.staticGrants.length === 0 ? source : new StaticGrantSource(source, grants.staticGrants);
}

function staticCallersOf(
  { settings: { grants } }: Runtime,
  peers: PeerVerifier,
  pods: ServiceAccountAuthenticator | undefined,
): StaticCallers {
  return new StaticCallers(grants.kind === 'kubernetes' ? grants.staticGrants : [], peers, pods);
}

/** Provides the grants, and what a cluster knows besides: peers, pods and users. */
@Global()
@Module({
  providers: [
    factory(Cluster, [Runtime, Clock, MonotonicTime, Telemetry, ServiceProblems], openCluster),
    factory(GrantSource, [Runtime, Cluster], openGrantSource),
    factory(GrantApprovals, [Cluster], (cluster) => cluster.approvals),
    factory(PeerVerifier, [Cluster], (cluster) => cluster.peerVerifier),
    factory(ServiceAccountAuthenticator, [Cluster], (cluster) => cluster.serviceAccounts),
    factory(StaticCallers, [Runtime, PeerVerifier, ServiceAccountAuthenticator], staticCallersOf),
    factory(UserPresence, [Cluster], (cluster) => cluster.users),
  ],
  exports: [
    Cluster,
    GrantSource,
    GrantApprovals,
    PeerVerifier,
    ServiceAccountAuthenticator,
    StaticCallers,
    UserPresence,
  ],
})
export class GrantSourcesModule implements OnApplicationShutdown {
  constructor(
    private readonly grantSource: GrantSource,
    private readonly cluster: Cluster,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([this.grantSource.close(), this.cluster.close()]);
  }
}
