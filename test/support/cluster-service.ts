import { ServiceAccountAuthenticator } from '../../src/authn/caller';
import type { Settings } from '../../src/config/settings';
import type { ServiceAccountName } from '../../src/authn/peer-verifier';
import { ClusterPeerVerifier } from '../../src/kubernetes/cluster';
import { TokenReviewer } from '../../src/kubernetes/token-reviewer';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { informerDepsOf } from '../kubernetes/informer-deps';
import { permissionOf } from './application-permission';
import { openPermissions } from './permission-feed';
import { eventually } from './eventually';
import { EXAMPLE_APPS, OTMOICLP } from './example-apps';
import { FakeApiServer } from './fake-api-server/fake-api-server';
import { FixedClock } from './fixed-clock';
import { FixedMonotonicTime } from './fixed-monotonic-time';
import { MemorySecretStore } from './memory.secret-store';
import { type Adapters, startService, type Service } from './service';
import { AUDIENCE, podToken, type TokenToMake } from './service-account-tokens';

/** The addresses that calls come from, and the peers there. */
export const PEERS = {
  nobody: '127.0.0.9',
  alicesSystemServer: '127.0.0.2',
  bobsSystemServer: '127.0.0.3',
  trustedProxy: '127.0.0.4',
  beside: '127.0.0.5',
} as const;

/** A ProxyRequest as alice's system-server writes it for her otmoiclp. */
export const PROXY_REQUEST = {
  op: 'ListSecret?workspace=otmoic',
  datatype: 'secret',
  version: 'v1',
  group: 'secret.infisical',
  appkey: OTMOICLP.appKey,
  data: {},
};

export const TRUSTED_PROXY = { namespace: 'os-framework', name: 'proxy' };

const ops = (workspace: string) => [`ListSecret?workspace=${workspace}`];
/** Two apps whose namespaces would have the same name. */
export const MAIL = { app: 'mail', user: 'a-b', appKey: 'k-1', appSecret: 's-1', ops: ops('mail-of-a-b') };
export const MAIL_A = { app: 'mail-a', user: 'b', appKey: 'k-2', appSecret: 's-2', ops: ops('mail-a-of-b') };

/** Namespaces and the label of their owner; undefined for one without. */
const OWNERS: Readonly<Record<string, string | undefined>> = {
  'otmoiclp-alice': 'alice',
  'reader-alice': 'alice',
  'otmoiclp-bob': 'bob',
  'mail-a-b': 'a-b',
  'user-system-alice': 'alice',
  'user-space-alice': 'alice',
  'user-system-a-b': 'b',
  'unlabelled-alice': undefined,
  'otmoiclp-carol': 'alice',
  'otmoiclp-x-alice': 'alice',
  'os-framework': undefined,
};

/** The whole service, with a fake API server behind grants, pods and token reviews. */
export class ClusterService {
  private constructor(
    readonly server: FakeApiServer,
    readonly clock: FixedClock,
    readonly time: FixedMonotonicTime,
    private readonly stops: (() => Promise<void>)[],
  ) {}

  readonly store = new MemorySecretStore();
  service!: Service;

  /** @param settingsApp ServiceAccounts of the Settings app, whose pods are watched then */
  static async start(
    settings: Partial<Settings> = {},
    settingsApp: readonly ServiceAccountName[] = [],
    systemServerProof: 'address' | 'off' = 'address',
    more: Adapters = {},
  ): Promise<ClusterService> {
    const server = await FakeApiServer.start();
    const one = new ClusterService(server, new FixedClock(), new FixedMonotonicTime(), []);
    fill(server);
    const deps = informerDepsOf(server, one.time);
    const reviewer = new TokenReviewer(deps.api, AUDIENCE, one.clock, one.time);
    const owners = new WatchedNamespaceOwners(deps);
    const { grants } = settings;
    const staticGrants = grants?.kind === 'kubernetes' ? grants.staticGrants : [];
    const options = {
      staticGrants,
      trustedServiceAccounts: [TRUSTED_PROXY],
      systemEventServiceAccounts: grants?.kind === 'kubernetes' ? grants.systemEventServiceAccounts : [],
      settingsServiceAccounts: settingsApp,
      systemServerProof,
    };
    const peerVerifier = new ClusterPeerVerifier(reviewer, options, deps);
    const grantSource = await openPermissions(deps);
    const serviceAccounts = new ServiceAccountAuthenticator(reviewer, owners);
    const { clock, store } = one;
    const adapters = { clock, store, grantSource, peerVerifier, serviceAccounts, ...more };
    one.service = await startService(adapters, settings);
    await eventually(() => {
      if (server.watches.size !== 4 + settingsApp.length + staticGrants.length)
        throw new Error(`${server.watches.size} watches`);
    });
    one.stops.push(
      () => one.service.close(),
      () => grantSource.close(),
      () => owners.close(),
      () => peerVerifier.close(),
      () => server.stop(),
    );
    return one;
  }

  get url(): string {
    return this.service.url;
  }

  token(namespace: string, change: Partial<TokenToMake> = {}): string {
    return podToken(this.server, { namespace, expiresAtMs: this.clock.nowMs() + 3_600_000, ...change });
  }

  async close(): Promise<void> {
    for (const stop of this.stops) await stop();
  }
}

function fill(server: FakeApiServer): void {
  for (const app of [...EXAMPLE_APPS, MAIL, MAIL_A]) {
    server.of('applicationpermissions').put(permissionOf(app, app.app));
  }
  for (const [name, owner] of Object.entries(OWNERS)) {
    const labels = owner === undefined ? {} : { labels: { 'bytetrade.io/ns-owner': owner } };
    server.of('namespaces').put({ metadata: { name, ...labels } });
  }
  for (const [user, address] of [
    ['alice', PEERS.alicesSystemServer],
    ['bob', PEERS.bobsSystemServer],
  ] as const) {
    server.of('endpointslices').put({
      metadata: {
        name: 's',
        namespace: `user-system-${user}`,
        labels: { 'kubernetes.io/service-name': 'system-server' },
      },
      endpoints: [{ addresses: [address] }],
    });
  }
  for (const [name, ip] of [
    ['proxy', PEERS.trustedProxy],
    ['default', PEERS.beside],
  ] as const) {
    server.of('pods').put({
      metadata: { name, namespace: 'os-framework' },
      spec: { serviceAccountName: name },
      status: { phase: 'Running', podIPs: [{ ip }] },
    });
  }
}
