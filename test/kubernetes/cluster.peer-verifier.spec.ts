import { ClusterPeerVerifier } from '../../src/kubernetes/cluster';
import * as peerVerifiers from '../../src/authn/peer-verifier';
import { canonicalAddress, type ServiceAccountName } from '../../src/authn/peer-verifier';
import { TokenReviewer } from '../../src/kubernetes/token-reviewer';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { AUDIENCE, podToken } from '../support/service-account-tokens';
import { informerDepsOf } from './informer-deps';

describe('the proof of a peer', () => {
  let server: FakeApiServer;
  let clock: FixedClock;
  let time: FixedMonotonicTime;
  const opened: ClusterPeerVerifier[] = [];
  beforeEach(async () => {
    server = await FakeApiServer.start();
    clock = new FixedClock();
    time = new FixedMonotonicTime();
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
    await server.stop();
  });

  const open = (...trusted: readonly ServiceAccountName[]): Promise<ClusterPeerVerifier> =>
    openWith({ trustedServiceAccounts: trusted });
  const openWith = async (
    some: Partial<ConstructorParameters<typeof ClusterPeerVerifier>[1]>,
  ): Promise<ClusterPeerVerifier> => {
    const options = {
      trustedServiceAccounts: [],
      systemEventServiceAccounts: [],
      settingsServiceAccounts: [],
      staticGrants: [],
      systemServerProof: 'address' as const,
      ...some,
    };
    const deps = informerDepsOf(server, time);
    const reviewer = new TokenReviewer(deps.api, AUDIENCE, clock, time);
    const proof = new ClusterPeerVerifier(reviewer, options, deps);
    opened.push(proof);
    const accounts = [
      ...options.trustedServiceAccounts,
      ...options.systemEventServiceAccounts,
      ...options.settingsServiceAccounts,
      ...options.staticGrants.map(({ account }) => account),
    ];
    const watched = 1 + new Set(accounts.map(({ namespace }) => namespace)).size;
    await eventually(() => expect(server.watches.size).toBe(watched));
    return proof;
  };
  const slice = (namespace: string, name: string, endpoints: unknown, service = 'system-server') =>
    server.of('endpointslices').put({
      metadata: { namespace, name, labels: { 'kubernetes.io/service-name': service } },
      addressType: 'IPv4',
      endpoints,
    });
  const pod = (address: string, ready?: boolean) => ({
    addresses: [address],
    conditions: ready === undefined ? {} : { ready },
  });
  const token = (namespace: string, name: string, audience = AUDIENCE): string =>
    podToken(server, { namespace, name, audience, expiresAtMs: clock.nowMs() + 3_600_000 });

  const from = (bearer: string) => ({ address: '10.0.0.1', bearer });

  it('is the address of one of this user’s system-server pods', async () => {
    slice('user-system-alice', 's-1', [pod('10.0.0.1'), pod('10.0.0.2', true)]);
    slice('user-system-alice', 's-2', [pod('10.0.0.3')]);
    slice('user-system-bob', 's-1', [pod('10.0.0.9'), pod('fd00::9')]);
    const proof = await open();
    for (const address of ['10.0.0.1', '::ffff:10.0.0.2', '::FFFF:a00:3']) {
      expect(proof.provesSystemServer(address, 'alice')).toBe(true);
      expect(proof.provesSystemServer(address, 'bob')).toBe(false);
    }
    expect(proof.provesSystemServer('fd00:0:0::9', 'bob')).toBe(true);
    expect(proof.provesSystemServer('10.0.0.9', 'alice')).toBe(false);
    expect(proof.provesSystemServer('10.0.0.4', 'alice')).toBe(false);
  });

  it('is not the address of another service, namespace, or of a pod that is not ready', async () => {
    slice('user-system-alice', 'a', [pod('10.0.0.1')], 'notes');
    slice('user-space-alice', 'b', [pod('10.0.0.2')]);
    slice('notes-alice', 'c', [pod('10.0.0.3')]);
    slice('user-system-alice', 'd', [pod('10.0.0.4', false)]);
    slice('user-system-alice', 'e', null);
    slice('user-system-alice', 'f', [null, 7, { addresses: 'x' }, { addresses: [7, '', 'x.example'] }]);
    slice('user-system-', 'g', [pod('10.0.0.5')]);
    const proof = await open();
    for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '', 'x.example', 'undefined']) {
      expect(proof.provesSystemServer(address, 'alice')).toBe(false);
    }
    expect(proof.provesSystemServer('10.0.0.5', '')).toBe(false);
  });

  it('is the first address of each endpoint, as Kubernetes takes them, so that nobody states a hundred thousand', async () => {
    slice('user-system-alice', 's', [{ addresses: ['fd00::1', 'fd00::2'] }, { addresses: ['10.0.0.1'] }]);
    const proof = await open();
    const proven = ['fd00::1', '10.0.0.1', 'fd00::2'].map((address) =>
      proof.provesSystemServer(address, 'alice'),
    );
    expect(proven).toEqual([true, true, false]);
  });

  it('is no longer an address of a slice that was given to another service', async () => {
    slice('user-system-alice', 's-1', [pod('10.0.0.1')]);
    const proof = await open();
    await eventually(() => expect(proof.provesSystemServer('10.0.0.1', 'alice')).toBe(true));
    slice('user-system-alice', 's-1', [pod('10.0.0.1')], 'another');
    await eventually(() => expect(proof.provesSystemServer('10.0.0.1', 'alice')).toBe(false));
  });

  it('follows pods that are created and deleted, and does not count when it is outdated', async () => {
    slice('user-system-alice', 's', [pod('10.0.0.1')]);
    const proof = await open();
    slice('user-system-alice', 's', [pod('10.0.0.2')]);
    await eventually(() => expect(proof.provesSystemServer('10.0.0.2', 'alice')).toBe(true));
    expect(proof.provesSystemServer('10.0.0.1', 'alice')).toBe(false);
    server.of('endpointslices').delete('user-system-alice', 's');
    await eventually(() => expect(proof.provesSystemServer('10.0.0.2', 'alice')).toBe(false));
    slice('user-system-alice', 's', [pod('10.0.0.1')]);
    await eventually(() => expect(proof.provesSystemServer('10.0.0.1', 'alice')).toBe(true));
    await server.stop();
    time.advance(600_001);
    expect(proof.provesSystemServer('10.0.0.1', 'alice')).toBe(false);
    await server.listen();
  });

  it('is the token of a configured ServiceAccount, and of no other', async () => {
    const proof = await open({ namespace: 'os-framework', name: 'proxy' });
    expect(await proof.trustedServiceAccountOf(from(token('os-framework', 'proxy')))).toEqual({
      namespace: 'os-framework',
      name: 'proxy',
    });
    expect(await proof.trustedServiceAccountOf(from(token('os-framework', 'default')))).toBeUndefined();
    expect(await proof.trustedServiceAccountOf(from(token('notes-alice', 'proxy')))).toBeUndefined();
    expect(
      await proof.trustedServiceAccountOf(from(token('os-framework', 'proxy', 'another'))),
    ).toBeUndefined();
    expect(await proof.trustedServiceAccountOf(from('nonsense'))).toBeUndefined();
  });

  it('is only the token where the address must not count', async () => {
    const [namespace, name] = ['os-framework', 'proxy'];
    server.of('pods').put({
      metadata: { name: 'p', namespace },
      spec: { serviceAccountName: name },
      status: { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }] },
    });
    const proof = await open({ namespace, name });
    const another = from(token(namespace, 'default'));
    while ((await proof.trustedServiceAccountOf(another)) === undefined) await new Promise(setImmediate);
    expect(await proof.trustedServiceAccountOf(another)).toEqual({ namespace, name });
    expect(await proof.trustedServiceAccountOf(another, 'token')).toBeUndefined();
    expect(await proof.trustedServiceAccountOf(from(token(namespace, name)), 'token')).toEqual({ namespace, name });
  }); // prettier-ignore

  describe('of an account whose pod has the address of a slice', () => {
    const ACCOUNT = { namespace: 'os-protected', name: 'infisical-sa' };
    const AT = { address: '10.0.0.1', bearer: undefined };
    const proofsOf = async (proof: ClusterPeerVerifier) => [
      await proof.trustedServiceAccountOf(AT),
      await proof.provesEventSender(AT),
      await proof.provesSettings(AT, 'alice'),
      await proof.staticAccountOf(AT),
    ];
    const openAccount = async () => {
      server.of('pods').put({
        metadata: { name: 'p', namespace: ACCOUNT.namespace },
        spec: { serviceAccountName: ACCOUNT.name },
        status: { phase: 'Running', podIPs: [{ ip: AT.address }] },
      });
      const all = [ACCOUNT];
      return openWith({
        trustedServiceAccounts: all,
        systemEventServiceAccounts: all,
        settingsServiceAccounts: all,
        staticGrants: all.map((account) => ({ account })),
        systemServerProof: 'off',
      });
    };

    it('counts although an app states the address in a slice of its own namespace', async () => {
      for (const namespace of ['evil-alice', 'user-space-alice', 'user-system', 'user-system-'])
        slice(namespace, 'x', [pod(AT.address)]);
      expect(await proofsOf(await openAccount())).toEqual([ACCOUNT, true, true, ACCOUNT]);
    });

    it.each([true, false])(
      'counts for nothing where it is a system-server’s, ready: %s, since that forwards what anybody writes',
      async (ready) => {
        slice('user-system-alice', 's', [pod(AT.address, ready)]);
        expect(await proofsOf(await openAccount())).toEqual([undefined, false, false, undefined]);
      },
    );
  });

  it('is listed in small pages where an app fills its namespace with large slices and pods', async () => {
    for (let at = 0; at < 20; at += 1) {
      const annotations = { padding: 'x'.repeat(1024 * 1024) };
      server.of('endpointslices').put({
        metadata: {
          namespace: 'evil-alice',
          name: `s-${at}`,
          labels: { 'kubernetes.io/service-name': 'system-server' },
          annotations,
        },
      });
      server.of('pods').put({
        metadata: { namespace: 'evil-alice', name: `p-${at}`, annotations },
        spec: { serviceAccountName: 'system-frontend' },
      });
    }
    await openWith({
      settingsServiceAccounts: [{ namespace: 'user-space-<user>', name: 'system-frontend' }],
    });
    for (const path of ['/apis/discovery.k8s.io/v1/endpointslices', '/api/v1/pods']) {
      const limits = server.requests
        .filter((request) => request.path === path && request.query.get('watch') === null)
        .map(({ query }) => query.get('limit'));
      expect(limits.slice(0, 3)).toEqual(['500', '63', '8']);
    }
  });

  it('makes the address of a caller canonical as often with a hundred system-servers as with one', async () => {
    const canonical = jest.spyOn(peerVerifiers, 'canonicalAddress');
    const timesWith = async (users: number): Promise<number> => {
      for (let at = 0; at < users; at++) slice(`user-system-u${at}`, 's', [pod(`10.1.0.${at + 1}`)]);
      const proof = await openWith({
        staticGrants: [{ account: { namespace: 'os-framework', name: 'search' } }],
      });
      expect(proof.provesSystemServer(`10.1.0.${users}`, `u${users - 1}`)).toBe(true);
      canonical.mockClear();
      expect(await proof.staticAccountOf({ address: 'fd00::7', bearer: undefined })).toBeUndefined();
      return canonical.mock.calls.length;
    };
    const withOne = await timesWith(1);
    for (const one of opened.splice(0)) await one.close();
    expect(await timesWith(100)).toBe(withOne);
    canonical.mockRestore();
  });

  it('causes no call where no ServiceAccount is configured', async () => {
    const proof = await open();
    expect(await proof.trustedServiceAccountOf(from(token('os-framework', 'proxy')))).toBeUndefined();
    expect(server.requests.every(({ method }) => method === 'GET')).toBe(true);
  });

  it.each([
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::ffff:7f00:1', '127.0.0.1'],
    ['FD00:0:0:0::1', 'fd00::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['10.0.0.1', '10.0.0.1'],
    ['010.0.0.1', undefined],
    ['10.0.0.1:80', undefined],
    ['', undefined],
    ['localhost', undefined],
  ])('reads the address %p as %p', (address, canonical) => {
    expect(canonicalAddress(address)).toBe(canonical);
  });
});
