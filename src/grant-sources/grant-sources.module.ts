import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { NoPeerVerifier, PeerVerifier } from '../authn/peer-verifier';
import { UserPresence, ServiceAccountAuthenticator } from '../authn/caller';
import { GrantApprovals, SYSTEM_WORKSPACES, GrantSource } from '../authz/grant-source';
import { StaticCallers } from '../authz/static-grants';
import { factory, Runtime } from '../bootstrap/runtime.module';
import type { Settings } from '../config/settings';
import { ServiceProblems } from '../http/controllers/health.controller';
import type { InformerDeps } from '../kubernetes/informer';
import type { WatchedNamespaceOwners } from '../kubernetes/watched-objects';
import { Telemetry } from '../telemetry/telemetry.module';
import { Clock, MonotonicTime } from '../time/clock';
import type { WatchedGrantApprovals } from './kubernetes/watched-grant-approvals';

/** What the cluster is asked for; as it is made here, there is none, and nobody can be proven by it. */
export class Cluster {
  readonly informerDeps: InformerDeps | undefined;
  readonly peerVerifier: PeerVerifier = new NoPeerVerifier();
  readonly serviceAccounts: ServiceAccountAuthenticator | undefined;
  readonly namespaces: WatchedNamespaceOwners | undefined;
  /** Undefined where nothing needs to be approved. */
  readonly approvals: WatchedGrantApprovals | undefined;

  async close(): Promise<void> {}
}

export const NO_CLUSTER = new Cluster();

async function openCluster(
  { settings: { grants }, log }: Runtime,
  clock: Clock,
  time: MonotonicTime,
  telemetry: Telemetry,
  problems: ServiceProblems,
): Promise<Cluster> {
  if (grants.kind === 'directory') return NO_CLUSTER;
  const { openCluster: open } = await import('../kubernetes/cluster.js');
  const cluster = open(grants, clock, log, telemetry, time);
  problems.add(cluster.problems);
  if (grants.approvalsNamespace === undefined) return { ...cluster, approvals: undefined };
  const { WatchedGrantApprovals: Approvals } = await import('./kubernetes/watched-grant-approvals.js');
  return { ...cluster, approvals: new Approvals(grants.approvalsNamespace, cluster.informerDeps) };
}

/** Imports only the chosen source: the other one would cost start time and memory. */
async function openGrantSource(
  { settings, log }: Runtime,
  { informerDeps, namespaces, approvals }: Cluster,
  problems: ServiceProblems,
): Promise<GrantSource | undefined> {
  const { grants } = settings;
  if (grants.kind === 'directory') {
    const { DirectoryGrantSource } = await import('./directory/directory.grant-source.js');
    return DirectoryGrantSource.open({ dir: grants.dir, log });
  }
  if (informerDeps === undefined) return undefined;
  const { KubernetesGrantSource } = await import('./kubernetes/kubernetes.grant-source.js');
  const { olaresFeed } = await import('./kubernetes/olares-feed.js');
  const { olares, staticGrants } = grants;
  const permissions = grants.feeds.includes('application-permissions');
  const reservedWorkspaces = new Set([
    ...SYSTEM_WORKSPACES,
    ...staticGrants.flatMap(({ workspaces }) => workspaces),
  ]);
  const feeds = [olaresFeed({ permissions, reservedWorkspaces, ...olares })];
  if (namespaces !== undefined && approvals !== undefined) {
    const { manifestFeed } = await import('./kubernetes/manifest-feed.js');
    feeds.push(manifestFeed({ owners: namespaces, approvals, reservedWorkspaces }));
  }
  const others = staticGrants.length > 0 ? ['STATIC_GRANTS'] : [];
  const source = await KubernetesGrantSource.open(informerDeps, feeds, others);
  const unfit = (): readonly string[] => unfitFor(settings, source.status().olares);
  for (const problem of unfit()) log('warn', 'settings_problem', { problem });
  problems.add(unfit);
  return source;
}

/** Returns which settings do not go with Olares 1.12.1 and later, where that is found or its kind of grants is asked for. */
function unfitFor({ grants, userToken }: Settings, olares: string | undefined): readonly string[] {
  if (grants.kind === 'directory') return [];
  const asksFor1121 = grants.olares.provider !== undefined || grants.feeds.includes('manifests');
  if (olares !== 'since-1.12.1' && !asksFor1121) return [];
  return [
    ...(userToken.required ? [USER_TOKEN_REQUIRED] : []),
    ...(grants.systemServerProof === 'address' ? [ADDRESS_BELIEVED] : []),
  ];
}

const USER_TOKEN_REQUIRED =
  "Apps cannot call through the proxy of Olares 1.12.1 and later, which refuses calls with a user's token: set USER_TOKEN_REQUIRED=false.";
const ADDRESS_BELIEVED =
  'From Olares 1.12.1 on the address of a system-server proves nothing: set SYSTEM_SERVER_PROOF=off.';

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
    factory(GrantSource, [Runtime, Cluster, ServiceProblems], openGrantSource),
    factory(GrantApprovals, [Cluster], (cluster) => cluster.approvals),
    factory(PeerVerifier, [Cluster], (cluster) => cluster.peerVerifier),
    factory(ServiceAccountAuthenticator, [Cluster], (cluster) => cluster.serviceAccounts),
    factory(StaticCallers, [Runtime, PeerVerifier, ServiceAccountAuthenticator], staticCallersOf),
    factory(UserPresence, [Cluster], (cluster) => cluster.namespaces),
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
