import {
  type Peer,
  type PeerEvidence,
  PeerVerifier,
  type ServiceAccountName,
} from '../../src/authn/peer-verifier';
import {
  RbacProxyAuthenticator,
  type RbacProxyMode,
  NamespaceOwners,
  ServiceAccountAuthenticator,
  ServiceAccountReviewer,
} from '../../src/authn/caller';
import { outcome } from '../conformance/secret-store.conformance';

const SYSTEM_SERVER: Peer = { address: '10.0.0.1', bearer: undefined };
const PROXY_POD: Peer = { address: '10.0.0.2', bearer: undefined };
const STRANGER: Peer = { address: '10.0.0.3', bearer: undefined };

/** Knows alice's system-server and one trusted ServiceAccount, by its pod's address and by its token. */
class StatedPeers extends PeerVerifier {
  provesSystemServer(address: string | undefined, user: string): boolean {
    return address === SYSTEM_SERVER.address && user === 'alice';
  }

  trustedServiceAccountOf(
    { address, bearer }: Peer,
    by?: PeerEvidence,
  ): Promise<ServiceAccountName | undefined> {
    const isProven = bearer === 'of the proxy' || (by !== 'token' && address === PROXY_POD.address);
    return Promise.resolve(isProven ? { namespace: 'os-framework', name: 'proxy' } : undefined);
  }

  provesEventSender(): Promise<boolean> {
    return Promise.resolve(true);
  }

  provesSettings(): Promise<boolean> {
    return Promise.resolve(true);
  }
}
class NoReviewer extends ServiceAccountReviewer {
  review(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}
class StatedOwners extends NamespaceOwners {
  ownerOf(namespace: string): string | undefined {
    return { 'notes-alice': 'alice', 'notes-bob': 'bob' }[namespace];
  }
}

const NOTES = { app: 'notes', user: 'alice', operations: 'any' };
const OF_NOTES = 'system:serviceaccount:notes-alice:default';

describe('a call that an RBAC proxy let through', () => {
  const pods = new ServiceAccountAuthenticator(new NoReviewer(), new StatedOwners());
  const callerOf = (
    mode: RbacProxyMode,
    peer: Peer,
    remoteUser: string | undefined = OF_NOTES,
    user: string | undefined = 'alice',
    serviceAccounts: ServiceAccountAuthenticator | undefined = pods,
  ) =>
    new RbacProxyAuthenticator(mode, new StatedPeers(), serviceAccounts).callerOf({ peer, user, remoteUser });

  it.each<[RbacProxyMode, string, Peer, boolean]>([
    ['off', 'system-server', SYSTEM_SERVER, false],
    ['off', 'a trusted pod', PROXY_POD, false],
    ['service-accounts', 'system-server', SYSTEM_SERVER, false],
    ['service-accounts', 'a trusted pod', PROXY_POD, true],
    ['service-accounts', 'a stranger', STRANGER, false],
    ['service-accounts', 'a trusted token', { ...STRANGER, bearer: 'of the proxy' }, true],
    ['service-accounts', 'a trusted pod that forwards an app’s token', { ...PROXY_POD, bearer: 'of the app' }, false],
    ['system-server', 'system-server', SYSTEM_SERVER, true],
    ['system-server', 'a trusted pod', PROXY_POD, true],
    ['system-server', 'a stranger', STRANGER, false],
    ['system-server', 'system-server that forwards an app’s token', { ...SYSTEM_SERVER, bearer: 'of the app' }, false],
  ])('with RBAC_PROXY=%s from %s: is believed only where it should be', async (mode, _title, peer, believed) => {
    expect(await callerOf(mode, peer)).toEqual(believed ? NOTES : undefined);
  }); // prettier-ignore

  it('names the user to whom the system-server belongs', async () => {
    expect(await callerOf('system-server', SYSTEM_SERVER, 'system:serviceaccount:notes-bob:default', 'bob')).toBeUndefined(); // prettier-ignore
  });

  it('is refused where the namespace is another user’s', async () => {
    expect(await outcome(callerOf('service-accounts', PROXY_POD, OF_NOTES, 'bob'))).toBe('USER_MISMATCH');
  });

  it.each([
    '',
    'alice',
    'system:serviceaccount:notes-alice',
    'system:serviceaccount:notes-alice:',
    'system:serviceaccount::default',
    'system:serviceaccount:notes-alice:Default',
    'system:serviceaccount:notes-alice:default:x',
    'system:serviceaccount:notes_alice:default',
    'system:serviceaccount:eve-alice:default',
    ` ${OF_NOTES}`,
    `${OF_NOTES}\n`,
    `x${OF_NOTES}`,
  ])('proves nothing with X-Remote-User %j', async (remoteUser) => {
    expect(await callerOf('service-accounts', PROXY_POD, remoteUser)).toBeUndefined();
  });

  it('takes the longest names that Kubernetes allows, and none that is longer', async () => {
    const owners = new (class extends NamespaceOwners {
      ownerOf(): string {
        return 'alice';
      }
    })();
    const anywhere = new ServiceAccountAuthenticator(new NoReviewer(), owners);
    const [app, name] = ['n'.repeat(57), 's'.repeat(253)];
    const longest = (namespace: string, account: string) =>
      callerOf(
        'service-accounts',
        PROXY_POD,
        `system:serviceaccount:${namespace}:${account}`,
        'alice',
        anywhere,
      );
    expect(await longest(`${app}-alice`, name)).toEqual({ ...NOTES, app });
    expect(await longest(`n${app}-alice`, name)).toBeUndefined();
    expect(await longest(`${app}-alice`, `s${name}`)).toBeUndefined();
  });

  it('proves nothing without X-Remote-User, without X-BFL-USER and without a cluster', async () => {
    const authenticator = new RbacProxyAuthenticator('service-accounts', new StatedPeers(), pods);
    expect(await authenticator.callerOf({ peer: PROXY_POD, user: 'alice', remoteUser: undefined })).toBeUndefined();
    expect(await authenticator.callerOf({ peer: PROXY_POD, user: undefined, remoteUser: OF_NOTES })).toBeUndefined();
    const outside = new RbacProxyAuthenticator('service-accounts', new StatedPeers(), undefined);
    expect(await outside.callerOf({ peer: PROXY_POD, user: 'alice', remoteUser: OF_NOTES })).toBeUndefined();
  }); // prettier-ignore
});
