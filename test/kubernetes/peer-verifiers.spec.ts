import { ClusterPeerVerifier } from '../../src/kubernetes/cluster';
import { TokenReviewer } from '../../src/kubernetes/token-reviewer';
import { describePeerVerifier } from '../conformance/peer-verifier.conformance';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { AUDIENCE, podToken } from '../support/service-account-tokens';
import { informerDepsOf } from './informer-deps';

describe('in a cluster', () => {
  const clock = new FixedClock();
  let server: FakeApiServer;
  let verifier: ClusterPeerVerifier | undefined;
  beforeEach(async () => (server = await FakeApiServer.start()));
  afterEach(async () => {
    await verifier?.close();
    await server.stop();
  });

  const PROXY = { namespace: 'os-framework', name: 'proxy' };
  const SENDER = { namespace: 'os-framework', name: 'tapr-sysevent' };
  const tokenOf = (account: { namespace: string; name: string }) =>
    podToken(server, { ...account, expiresAtMs: clock.nowMs() + 3_600_000 });
  const pod = (namespace: string, serviceAccountName: string, ip: string) =>
    server.of('pods').put({
      metadata: { name: `${serviceAccountName}-1`, namespace },
      spec: { serviceAccountName },
      status: { phase: 'Running', podIPs: [{ ip }] },
    });

  describePeerVerifier('the verifier of a cluster', {
    async open() {
      server.of('endpointslices').put({
        metadata: {
          namespace: 'user-system-alice',
          name: 's',
          labels: { 'kubernetes.io/service-name': 'system-server' },
        },
        endpoints: [{ addresses: ['10.0.0.1'] }],
      });
      pod(PROXY.namespace, PROXY.name, '10.0.0.2');
      pod('user-space-alice', 'system-frontend', '10.0.0.3');
      const time = new FixedMonotonicTime();
      const deps = informerDepsOf(server, time);
      const opened = new ClusterPeerVerifier(
        new TokenReviewer(deps.api, AUDIENCE, clock, time),
        {
          trustedServiceAccounts: [PROXY],
          systemEventServiceAccounts: [SENDER],
          settingsServiceAccounts: [
            { namespace: 'user-space-<user>', name: 'system-frontend' },
            { namespace: 'user-space-carol', name: 'her-settings' },
          ],
          staticGrants: [],
          systemServerProof: 'address',
        },
        deps,
      );
      verifier = opened;
      await eventually(async () => {
        expect(opened.provesSystemServer('10.0.0.1', 'alice')).toBe(true);
        expect(await opened.trustedServiceAccountOf({ address: '10.0.0.2', bearer: undefined })).toEqual(
          PROXY,
        );
        expect(await opened.provesSettings({ address: '10.0.0.3', bearer: undefined }, 'alice')).toBe(true);
      });
      return opened;
    },
    known: () => ({
      systemServerOfAlice: '10.0.0.1',
      trusted: PROXY,
      trustedByToken: { address: '10.0.0.7', bearer: tokenOf(PROXY) },
      trustedByAddress: { address: '10.0.0.2', bearer: undefined },
      eventSender: { address: '10.0.0.7', bearer: tokenOf(SENDER) },
      settingsOfAlice: {
        address: '10.0.0.7',
        bearer: tokenOf({ namespace: 'user-space-alice', name: 'system-frontend' }),
      },
      settingsOfCarol: {
        address: '10.0.0.7',
        bearer: tokenOf({ namespace: 'user-space-carol', name: 'her-settings' }),
      },
      stranger: { address: '10.0.0.7', bearer: tokenOf({ namespace: 'notes-alice', name: 'default' }) },
    }),
  });
});
