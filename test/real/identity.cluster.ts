import { SystemClock } from '../../src/time/clock';
import { openCluster } from '../../src/kubernetes/cluster';
import { AUDIENCE } from '../support/service-account-tokens';
import { makeNamespace, send } from './scratch-cluster';
import { eventually } from '../support/eventually';

const OWNER = 'bytetrade.io/ns-owner';

async function tokenOf(namespace: string, audience = AUDIENCE): Promise<string> {
  const spec = { audiences: [audience], expirationSeconds: 600 };
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/pod/token`;
  const answer = (await send('POST', path, request)) as { readonly status: { readonly token: string } };
  return answer.status.token;
}

/** Tokens that the cluster's own API server made and reviews. */
export function describeIdentity(): void {
  describe('pods and peers of a real cluster', () => {
    let cluster: ReturnType<typeof openCluster> | undefined;
    beforeAll(async () => {
      await makeNamespace('osp-mail-alice', { [OWNER]: 'alice' });
      await makeNamespace('osp-mail-bob');
      await makeNamespace('user-system-alice');
      for (const namespace of ['osp-mail-alice', 'osp-mail-bob']) {
        const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'pod' } };
        await send('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, account);
      }
      const options = {
        environment: process.env,
        audience: AUDIENCE,
        trustedServiceAccounts: [],
        systemServerProof: 'address' as const,
        staticGrants: [],
        systemEventServiceAccounts: [],
        settingsServiceAccounts: [],
        maxAgeMs: 600_000,
      };
      cluster = openCluster(options, new SystemClock(), () => undefined);
    });
    afterAll(() => cluster?.close());
    const opened = (): ReturnType<typeof openCluster> => {
      if (cluster === undefined) throw new Error('not open');
      return cluster;
    };

    it('know the app and the user by the token of a pod', async () => {
      const token = await tokenOf('osp-mail-alice');

      expect(await opened().serviceAccounts.authenticate(token, undefined)).toMatchObject({
        app: 'osp-mail',
        user: 'alice',
      });
    });

    it('refuse a token for another audience, of a namespace without an owner, and a changed one', async () => {
      const good = await tokenOf('osp-mail-alice');
      for (const token of [
        await tokenOf('osp-mail-alice', 'https://kubernetes.default.svc'),
        await tokenOf('osp-mail-bob'),
        `${good.slice(0, -8)}AAAAAAAA`,
      ])
        await expect(opened().serviceAccounts.authenticate(token, undefined)).rejects.toMatchObject({
          reason: 'UNAUTHENTICATED',
        });
    });

    it("know the pods of a user's system-server by their EndpointSlice", async () => {
      const path = '/apis/discovery.k8s.io/v1/namespaces/user-system-alice/endpointslices';
      const labels = { 'kubernetes.io/service-name': 'system-server' };
      await send('POST', path, {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: 'osp-slice', labels },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['10.99.0.1'], conditions: { ready: true } }],
        ports: [],
      });
      await eventually(() =>
        expect(opened().peerVerifier.provesSystemServer('10.99.0.1', 'alice')).toBe(true),
      );
      expect(opened().peerVerifier.provesSystemServer('10.99.0.1', 'bob')).toBe(false);
      await send('PATCH', `${path}/osp-slice`, {
        metadata: { labels: { 'kubernetes.io/service-name': 'x' } },
      });
      await eventually(() =>
        expect(opened().peerVerifier.provesSystemServer('10.99.0.1', 'alice')).toBe(false),
      );
      await send('DELETE', `${path}/osp-slice`);
    });
  });
}
