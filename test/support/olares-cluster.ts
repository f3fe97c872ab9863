import { ServiceAccountAuthenticator } from '../../src/authn/caller';
import { KubernetesGrantSource } from '../../src/grant-sources/kubernetes/kubernetes.grant-source';
import { manifestFeed } from '../../src/grant-sources/kubernetes/manifest-feed';
import { WatchedGrantApprovals } from '../../src/grant-sources/kubernetes/watched-grant-approvals';
import { ClusterPeerVerifier } from '../../src/kubernetes/cluster';
import { TokenReviewer } from '../../src/kubernetes/token-reviewer';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { AccessRegistrar } from '../../src/registration/access-registrar';
import { informerDepsOf, type Logged } from '../kubernetes/informer-deps';
import { eventually } from './eventually';
import { FakeApiServer } from './fake-api-server/fake-api-server';
import { API_AUDIENCE } from './fake-api-server/fake-token-review';
import { FixedMonotonicTime } from './fixed-monotonic-time';
import { FixedClock } from './fixed-clock';
import { type Answer, httpCall } from './http-call';
import { OWN_NAMESPACE } from './manifest-config-map';
import { MemorySecretStore } from './memory.secret-store';
import { ProviderProxy, throughSidecar } from './provider-proxy';
import { startService, type Service } from './service';
import { AUDIENCE, podToken } from './service-account-tokens';
import { USER_TOKEN_SECRET } from './tokens';

const ENDPOINT = { service: 'vault', namespace: OWN_NAMESPACE, port: 8080 };
const PROXY_ADDRESS = '127.0.0.2';

type Headers = Readonly<Record<string, string>>;

/** How an app calls. */
export interface AppCall {
  /** The namespace of its pods. */
  readonly from: string;
  readonly body?: object;
  /** Whether its pod has an envoy sidecar, as up to Olares 1.12.6. */
  readonly hasSidecar?: boolean;
  readonly host?: string;
  readonly headers?: Headers;
}

/** A cluster with Olares 1.12.1 or later: an API server, alice's system-server, and this service as the chart's profile runs it. */
export class OlaresCluster {
  readonly store = new MemorySecretStore();
  readonly clock = new FixedClock();
  readonly time = new FixedMonotonicTime();
  private readonly stops: (() => Promise<void>)[] = [];
  service!: Service;
  proxy!: ProviderProxy;
  logged!: readonly Logged[];

  private constructor(readonly server: FakeApiServer) {}

  static async start(): Promise<OlaresCluster> {
    const server = await FakeApiServer.start();
    const one = new OlaresCluster(server);
    const deps = informerDepsOf(server, one.time);
    const reviewer = new TokenReviewer(deps.api, AUDIENCE, one.clock, deps.time);
    const owners = new WatchedNamespaceOwners(deps);
    const approvals = new WatchedGrantApprovals(OWN_NAMESPACE, deps);
    const peerVerifier = new ClusterPeerVerifier(
      reviewer,
      {
        trustedServiceAccounts: [],
        systemEventServiceAccounts: [],
        settingsServiceAccounts: [],
        staticGrants: [],
        systemServerProof: 'off',
      },
      deps,
    );
    const grantSource = await KubernetesGrantSource.open(deps, [
      manifestFeed({ owners, approvals, reservedWorkspaces: new Set() }),
    ]);
    const serviceAccounts = new ServiceAccountAuthenticator(reviewer, owners);
    const adapters = { clock: one.clock, store: one.store, grantSource, peerVerifier, serviceAccounts };
    const userToken = { secret: USER_TOKEN_SECRET, required: false };
    one.service = await startService(adapters, { userToken });
    const options = { endpoint: ENDPOINT, providerName: 'secret-provider' };
    const registrar = new AccessRegistrar(options, grantSource, deps);
    registrar.start();
    const { url } = one.service;
    one.proxy = await ProviderProxy.start(server, {
      user: 'alice',
      upstreamOf: (ref) => (ref === `${ENDPOINT.service}.${OWN_NAMESPACE}:8080` ? url : undefined),
      address: PROXY_ADDRESS,
      nowMs: () => one.clock.nowMs(),
    });
    one.logged = deps.logged;
    one.stops.push(
      () => registrar.close(),
      () => one.proxy.close(),
      () => one.service.close(),
      () => grantSource.close(),
      () => owners.close(),
      () => peerVerifier.close(),
      () => server.stop(),
    );
    return one;
  }

  async close(): Promise<void> {
    for (const stop of this.stops) await stop();
  }

  /** The two tokens of a pod: for the API server, and for this service. */
  private tokensOf(namespace: string): { readonly own: string; readonly ours: string } {
    const expiresAtMs = this.clock.nowMs() + 3_600_000;
    return {
      own: podToken(this.server, { namespace, audience: API_AUDIENCE, expiresAtMs }),
      ours: podToken(this.server, { namespace, expiresAtMs }),
    };
  }

  /** Calls `<Op>?workspace=<name>` at alice's system-server. */
  through(target: string, { from, body = {}, hasSidecar, host, headers }: AppCall): Promise<Answer> {
    const { own, ours } = this.tokensOf(from);
    const sent = { host: host ?? 'secret-provider.user-system-alice', ...headers };
    const onTheWay =
      hasSidecar === true
        ? throughSidecar({ ...sent, authorization: `Bearer ${ours}` }, own)
        : { ...sent, authorization: `Bearer ${own}`, 'temp-authorization': `Bearer ${ours}` };
    return httpCall(`${this.proxy.url}/${target}`, { headers: onTheWay, body });
  }

  /** Calls this service itself, past system-server. */
  past(target: string, { from, body = {}, headers }: AppCall): Promise<Answer> {
    const authorization = `Bearer ${this.tokensOf(from).ours}`;
    return httpCall(`${this.service.url}/${target}`, { headers: { ...headers, authorization }, body });
  }

  /** Lets a second pass at most until the expectation holds: what an app may do must be in force in that time. */
  async withinASecond(expectation: () => void): Promise<void> {
    let restMs = 1000;
    await eventually(() => {
      const stepMs = Math.min(restMs, 10);
      restMs -= stepMs;
      this.time.advance(stepMs);
      expectation();
    });
  }

  /** Lets time pass until the expectation holds. */
  async eventually(expectation: () => void): Promise<void> {
    await eventually(() => {
      this.time.advance(50);
      expectation();
    });
  }

  urlsOf(user: string, app: string): readonly string[] | undefined {
    const role = this.server.of('clusterroles').get(undefined, `osp:${user}:${app}`);
    const bound = this.server.of('clusterrolebindings').get(undefined, `osp:${user}:${app}`);
    const [rule] = (role?.['rules'] ?? []) as readonly { readonly nonResourceURLs: readonly string[] }[];
    return bound === undefined ? undefined : rule?.nonResourceURLs;
  }
}
