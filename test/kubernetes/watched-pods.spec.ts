import type { ServiceAccountName } from '../../src/authn/peer-verifier';
import { ClusterPeerVerifier } from '../../src/kubernetes/cluster';
import { TokenReviewer } from '../../src/kubernetes/token-reviewer';
import { WatchedPods } from '../../src/kubernetes/watched-objects';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { AUDIENCE, podToken } from '../support/service-account-tokens';
import { informerDepsOf } from './informer-deps';

const PROXY = { namespace: 'os-framework', name: 'proxy' };
const EVENTS = { namespace: 'os-framework', name: 'events' };
const ALICES = { namespace: 'user-system-alice', name: 'proxy' };

interface PodToMake {
  readonly namespace?: string;
  readonly name?: string;
  readonly account?: string;
  readonly ips?: unknown;
  readonly phase?: string;
  readonly hostNetwork?: unknown;
  readonly deleted?: boolean;
}

describe('a peer that is verified by the address of its pod', () => {
  let server: FakeApiServer;
  let clock: FixedClock;
  let time: FixedMonotonicTime;
  const opened: { close(): Promise<void> }[] = [];
  beforeEach(async () => {
    server = await FakeApiServer.start();
    clock = new FixedClock();
    time = new FixedMonotonicTime();
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
    await server.stop();
  });

  const open = async (
    trusted = [PROXY, ALICES],
    eventSenders = [EVENTS],
    settings: readonly ServiceAccountName[] = [],
  ): Promise<ClusterPeerVerifier> => {
    const deps = informerDepsOf(server, time);
    const reviewer = new TokenReviewer(deps.api, AUDIENCE, clock, time);
    const proof = new ClusterPeerVerifier(
      reviewer,
      {
        trustedServiceAccounts: trusted,
        systemEventServiceAccounts: eventSenders,
        settingsServiceAccounts: settings,
        staticGrants: [],
        systemServerProof: 'address',
      },
      deps,
    );
    opened.push(proof);
    const namespaces = new Set([...trusted, ...eventSenders].map(({ namespace }) => namespace));
    await eventually(() => expect(server.watches.size).toBe(1 + namespaces.size + settings.length));
    return proof;
  };
  const put = (pod: PodToMake = {}) =>
    server.of('pods').put({
      metadata: {
        namespace: pod.namespace ?? 'os-framework',
        name: pod.name ?? 'p',
        ...(pod.deleted === true ? { deletionTimestamp: '2026-11-22T12:00:00Z' } : {}),
      },
      spec: { serviceAccountName: pod.account ?? 'proxy', hostNetwork: pod.hostNetwork },
      status: { phase: pod.phase ?? 'Running', podIPs: pod.ips ?? [{ ip: '10.0.0.1' }] },
    });
  const at = (address: string, bearer?: string) => ({ address, bearer });

  it('is a trusted ServiceAccount where a running pod of it has the address, however that is written', async () => {
    put({ ips: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] });
    const proof = await open();
    for (const address of ['10.0.0.1', '::ffff:10.0.0.1', '::FFFF:a00:1', 'fd00:0:0::1']) {
      expect(await proof.trustedServiceAccountOf(at(address))).toEqual(PROXY);
    }
    for (const address of ['10.0.0.2', '', 'p', 'undefined']) {
      expect(await proof.trustedServiceAccountOf(at(address))).toBeUndefined();
    }
  });

  it('distinguishes ServiceAccounts that may speak for users from senders of system events', async () => {
    put();
    put({ name: 'e', account: 'events', ips: [{ ip: '10.0.0.2' }] });
    put({ name: 'd', account: 'default', ips: [{ ip: '10.0.0.3' }] });
    const proof = await open();
    const found = await Promise.all(
      ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(async (address) => [
        (await proof.trustedServiceAccountOf(at(address)))?.name,
        await proof.provesEventSender(at(address)),
      ]),
    );
    expect(found).toEqual([
      ['proxy', false],
      [undefined, true],
      [undefined, false],
    ]);
  });

  it('is also verified as the event sender by its token, and by no other token', async () => {
    const proof = await open();
    const token = (name: string, audience = AUDIENCE) =>
      podToken(server, { ...EVENTS, name, audience, expiresAtMs: clock.nowMs() + 3_600_000 });
    expect(await proof.provesEventSender(at('10.0.0.9', token('events')))).toBe(true);
    expect(await proof.provesEventSender(at('10.0.0.9', token('proxy')))).toBe(false);
    expect(await proof.provesEventSender(at('10.0.0.9', token('events', 'another')))).toBe(false);
    expect(await proof.provesEventSender(at('10.0.0.9'))).toBe(false);
  });

  it.each<[string, PodToMake]>([
    ['of the same name in another namespace', { namespace: 'user-system-alice', account: 'events' }],
    ['on the host’s network', { hostNetwork: true }],
    ['whose network is anybody’s guess', { hostNetwork: 'false' }],
    ['that is being deleted', { deleted: true }],
    ['that has not started', { phase: 'Pending' }],
    ['that has ended', { phase: 'Succeeded' }],
    ['that failed', { phase: 'Failed' }],
    ['of whom the node says nothing', { phase: 'Unknown' }],
    ['without an address', { ips: [] }],
    ['whose addresses nobody can read', { ips: [null, 7, {}, { ip: 7 }, { ip: 'x' }] }],
    ['of another ServiceAccount', { account: 'default' }],
  ])('is not the pod %s', async (_, pod) => {
    put(pod);
    const proof = await open();
    expect(await proof.trustedServiceAccountOf(at('10.0.0.1'))).toBeUndefined();
    expect(await proof.provesEventSender(at('10.0.0.1'))).toBe(false);
  });

  it.each<[string, PodToMake, boolean]>([
    ['runs under the same account', {}, true],
    ['runs under another account', { account: 'default' }, false],
    ['goes, under another account', { account: 'default', deleted: true }, false],
    ['starts, under another account', { account: 'default', phase: 'Pending' }, false],
    ['runs in another namespace', { namespace: 'user-system-alice' }, false],
    ['has ended', { account: 'default', phase: 'Succeeded' }, true],
    ['is on the host’s network', { account: 'default', hostNetwork: true }, true],
  ])('where a second pod with the address %s: %p', async (_, second, proven) => {
    put();
    put({ ...second, name: 'second' });
    const proof = await open();
    const account = await proof.trustedServiceAccountOf(at('10.0.0.1'));
    expect(account).toEqual(proven ? PROXY : undefined);
  });

  it('follows pods that are created, changed and deleted', async () => {
    const pods = new WatchedPods([PROXY], informerDepsOf(server, time));
    opened.push(pods);
    await eventually(() => expect(server.watches.size).toBe(1));
    const found = (address: string, expected: unknown) =>
      eventually(() => expect(pods.serviceAccountAt(address)).toEqual(expected));
    put();
    await found('10.0.0.1', PROXY);
    put({ ips: [{ ip: '10.0.0.2' }] });
    await found('10.0.0.2', PROXY);
    await found('10.0.0.1', undefined);
    server.of('pods').delete('os-framework', 'p');
    await found('10.0.0.2', undefined);
  });

  it('is not verified by outdated pods', async () => {
    put();
    const proof = await open();
    await server.stop();
    time.advance(600_000);
    expect(await proof.trustedServiceAccountOf(at('10.0.0.1'))).toEqual(PROXY);
    time.advance(1);
    expect(await proof.trustedServiceAccountOf(at('10.0.0.1'))).toBeUndefined();
    await server.listen();
  });

  it('reads no pods of a namespace that is not configured, and none at all where none is', async () => {
    put();
    const proof = await open([], []);
    expect(await proof.trustedServiceAccountOf(at('10.0.0.1'))).toBeUndefined();
    expect(server.requests.some(({ path }) => path.endsWith('/pods'))).toBe(false);
    await proof.close();
    await eventually(() => expect(server.watches.size).toBe(0));
    await open();
    const paths = server.requests.map(({ path }) => path).filter((path) => path.endsWith('/pods'));
    expect([...new Set(paths)].sort()).toEqual([
      '/api/v1/namespaces/os-framework/pods',
      '/api/v1/namespaces/user-system-alice/pods',
    ]);
  });

  describe('of the Settings app', () => {
    const FRONTEND = { namespace: 'user-space-<user>', name: 'system-frontend' };
    const ofAlice = { namespace: 'user-space-alice', account: 'system-frontend' };

    it('watches the pods of that account’s name alone, in all namespaces at once', async () => {
      put(ofAlice);
      put({ namespace: 'user-space-alice', name: 'other', account: 'bfl', ips: [{ ip: '10.0.0.2' }] });
      const proof = await open([], [], [FRONTEND]);
      expect(await proof.provesSettings(at('10.0.0.1'), 'alice')).toBe(true);
      expect(await proof.provesSettings(at('10.0.0.2'), 'alice')).toBe(false);
      const asked = server.requests.filter(({ path }) => path === '/api/v1/pods');
      expect(asked.length).toBeGreaterThan(1);
      for (const { query } of asked)
        expect(query.get('fieldSelector')).toBe('spec.serviceAccountName=system-frontend');
    });

    it('follows the frontends of created and deleted users', async () => {
      const proof = await open([], [], [FRONTEND]);
      put({ ...ofAlice, namespace: 'user-space-dave', ips: [{ ip: '10.0.0.4' }] });
      let proven: boolean | undefined;
      const becomes = (expected: boolean) =>
        eventually(() => {
          void proof.provesSettings(at('10.0.0.4'), 'dave').then((is) => (proven = is));
          expect(proven).toBe(expected);
        });
      await becomes(true);
      server.of('pods').delete('user-space-dave', 'p');
      await becomes(false);
    });

    it('is not verified by outdated pods', async () => {
      put(ofAlice);
      const proof = await open([], [], [FRONTEND]);
      await server.stop();
      time.advance(600_000);
      expect(await proof.provesSettings(at('10.0.0.1'), 'alice')).toBe(true);
      time.advance(1);
      expect(await proof.provesSettings(at('10.0.0.1'), 'alice')).toBe(false);
      await server.listen();
    });

    it('is believed although an app gives its address to a pod of its own, of an account of that name', async () => {
      put(ofAlice);
      for (const namespace of ['evil-alice', 'user-space-', 'x-user-space-alice'])
        put({ ...ofAlice, namespace });
      const proof = await open([], [], [FRONTEND]);
      expect(await proof.provesSettings(at('10.0.0.1'), 'alice')).toBe(true);
      put({ ...ofAlice, namespace: 'user-space-bob' });
      let proven: boolean | undefined;
      await eventually(() => {
        void proof.provesSettings(at('10.0.0.1'), 'alice').then((is) => (proven = is));
        expect(proven).toBe(false);
      });
    });

    it('may speak for one user where it is in that user’s namespace, and for all users from a namespace of nobody', async () => {
      put(ofAlice);
      put({ namespace: 'os-settings', account: 'settings', ips: [{ ip: '10.0.0.5' }] });
      const accounts = [
        { namespace: 'user-space-alice', name: 'system-frontend' },
        { namespace: 'os-settings', name: 'settings' },
      ];
      const proof = await open([], [], accounts);
      const who = async (address: string) =>
        Promise.all(['alice', 'bob'].map((user) => proof.provesSettings(at(address), user)));
      expect(await who('10.0.0.1')).toEqual([true, false]);
      expect(await who('10.0.0.5')).toEqual([true, true]);
    });
  });

  it('lets the account of one user’s namespace speak for that user only', async () => {
    put();
    put({ namespace: 'user-system-alice', ips: [{ ip: '10.0.0.2' }] });
    const proof = await open();
    expect(await proof.provesTrustedFor(at('10.0.0.1'), 'bob')).toBe(true);
    expect(await proof.provesTrustedFor(at('10.0.0.2'), 'alice')).toBe(true);
    expect(await proof.provesTrustedFor(at('10.0.0.2'), 'bob')).toBe(false);
    expect(await proof.provesTrustedFor(at('10.0.0.3'), 'alice')).toBe(false);
  });
});
