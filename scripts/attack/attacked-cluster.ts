import { permissionOf } from '../../test/support/application-permission';
import { FakeApiServer } from '../../test/support/fake-api-server/fake-api-server';
import { kubeconfigOf } from '../../test/support/kubeconfig';
import { podToken } from '../../test/support/service-account-tokens';
import { ATTACKERS, WELL_BEHAVED } from './tenants';

const PROXY = { namespace: 'os-framework', name: 'proxy' };
/** How long a TokenReview takes. */
const REVIEW_MS = 20;

/** A fake cluster with the apps, a trusted proxy, and a system-server of the well-behaved app's user at the attackers' address. */
export class AttackedCluster {
  private constructor(private readonly server: FakeApiServer) {}

  static async start(): Promise<AttackedCluster> {
    const server = await FakeApiServer.start();
    server.reviewDelayMs = REVIEW_MS;
    for (const one of [WELL_BEHAVED, ...ATTACKERS]) {
      server.of('applicationpermissions').put(permissionOf(one, one.app));
      for (const name of [`${one.app}-${one.user}`, `user-system-${one.user}`])
        server.of('namespaces').put({ metadata: { name, labels: { 'bytetrade.io/ns-owner': one.user } } });
    }
    const labels = { 'kubernetes.io/service-name': 'system-server' };
    const metadata = { name: 's', namespace: `user-system-${WELL_BEHAVED.user}`, labels };
    server.of('endpointslices').put({ metadata, endpoints: [{ addresses: ['127.0.0.2'] }] });
    return new AttackedCluster(server);
  }

  settings(dir: string): Readonly<Record<string, string>> {
    return {
      GRANTS_SOURCE: 'kubernetes',
      KUBECONFIG: kubeconfigOf(this.server, dir),
      RBAC_PROXY: 'service-accounts',
      TRUSTED_PROXY_SERVICE_ACCOUNTS: `${PROXY.namespace}:${PROXY.name}`,
    };
  }

  /** Returns the headers of the well-behaved app behind the proxy, and different tokens of the proxy, so that the cluster is asked about each. */
  proxied(count: number): {
    readonly headers: Readonly<Record<string, string>>;
    readonly bearers: readonly string[];
  } {
    const { app, user } = WELL_BEHAVED;
    const expiresAtMs = Date.now() + 3_600_000;
    return {
      headers: { 'x-bfl-user': user, 'x-remote-user': `system:serviceaccount:${app}-${user}:default` },
      bearers: Array.from({ length: count }, () => podToken(this.server, { ...PROXY, expiresAtMs })),
    };
  }

  async stop(): Promise<void> {
    await this.server.stop();
  }
}
