import { NoPeerVerifier, type Peer, type ServiceAccountName } from '../../src/authn/peer-verifier';
import { NamespaceOwners, ServiceAccountAuthenticator, ServiceAccountReviewer } from '../../src/authn/caller';
import { type StaticGrant, StaticCallers, StaticGrants } from '../../src/authz/static-grants';

const FRONTEND: StaticGrant = {
  account: { namespace: 'user-space-<user>', name: 'system-frontend' },
  userFrom: 'namespace',
  userTokenRequired: true,
  workspaces: ['settings', 'dashboard'],
  operations: ['RetrieveSecret', 'ListSecret'],
};
const INTEGRATION: StaticGrant = {
  account: { namespace: 'os-protected', name: 'infisical-sa' },
  userFrom: 'X-BFL-USER',
  userTokenRequired: false,
  workspaces: ['settings'],
  operations: ['CreateSecret'],
  responseStyle: 'sidecar',
};

class StatedPeers extends NoPeerVerifier {
  constructor(private readonly account: ServiceAccountName | undefined) {
    super();
  }

  override staticAccountOf(): Promise<ServiceAccountName | undefined> {
    return Promise.resolve(this.account);
  }
}
class NoReviewer extends ServiceAccountReviewer {
  review(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}
class StatedOwners extends NamespaceOwners {
  constructor(private readonly owners: Readonly<Record<string, string>>) {
    super();
  }

  ownerOf(namespace: string): string | undefined {
    return this.owners[namespace];
  }
}

const OWNERS = { 'user-space-alice': 'alice', 'user-system-alice': 'alice', 'user-system-bob': 'bob', 'user-space-carol': 'carol' }; // prettier-ignore
const PEER: Peer = { address: '10.0.0.1', bearer: undefined };
const ALICES = { namespace: 'user-space-alice', name: 'system-frontend' };
const SHARED = { namespace: 'os-protected', name: 'infisical-sa' };

describe('one of the system’s own callers', () => {
  const authenticator = new ServiceAccountAuthenticator(new NoReviewer(), new StatedOwners(OWNERS));
  const callerOf = (
    account: ServiceAccountName | undefined,
    call: { readonly user?: string; readonly isForwarded?: boolean; readonly peer?: Peer } = {},
    grants: readonly StaticGrant[] = [FRONTEND, INTEGRATION],
  ) =>
    new StaticCallers(grants, new StatedPeers(account), authenticator).callerOf({
      peer: PEER,
      user: undefined,
      isForwarded: false,
      ...call,
    });

  it('is the user of its namespace, whomever a header names and whatever it forwards', async () => {
    const expected = {
      caller: { app: 'user-space-alice:system-frontend', user: 'alice', operations: 'any' },
      userTokenRequired: true,
      responseStyle: undefined,
    };
    expect(await callerOf(ALICES)).toEqual(expected);
    expect(await callerOf(ALICES, { user: 'bob', isForwarded: true })).toEqual(expected);
  });

  it('is the user of its namespace also where an entry of that namespace believes a header', async () => {
    const literal = { ...INTEGRATION, account: ALICES };
    expect((await callerOf(ALICES, { user: 'bob' }, [literal]))?.caller.user).toBe('alice');
  });

  it('of a shared namespace is believed about the user where its entry says so', async () => {
    expect(await callerOf(SHARED, { user: 'bob' })).toEqual({
      caller: { app: 'os-protected:infisical-sa', user: 'bob', operations: 'any' },
      userTokenRequired: false,
      responseStyle: 'sidecar',
    });
  });

  it.each([
    ['of a shared namespace that names no user', SHARED, {}],
    ['of a shared namespace that forwards what another wrote', SHARED, { user: 'bob', isForwarded: true }],
    ['that names a user who does not exist', SHARED, { user: 'eve' }],
    ['whose user has no system namespace', { ...ALICES, namespace: 'user-space-carol' }, {}],
    ['whose namespace is nobody’s', { ...ALICES, namespace: 'user-space-eve' }, {}],
    ['with another name', { ...ALICES, name: 'other' }, {}],
    ['in another namespace', { ...ALICES, namespace: 'user-system-alice' }, {}],
    ['in a namespace that spells the placeholder out', { ...ALICES, namespace: 'user-space-<user>' }, {}],
    ['that is not proven', undefined, { user: 'bob' }],
  ])('is not a peer %s', async (_title, account, call) => {
    expect(await callerOf(account, call)).toBeUndefined();
  });

  it('is nobody where nothing is stated, and nobody outside a cluster', async () => {
    expect(await callerOf(ALICES, {}, [])).toBeUndefined();
    const outside = new StaticCallers([FRONTEND], new StatedPeers(ALICES), undefined);
    expect(await outside.callerOf({ peer: PEER, user: 'alice', isForwarded: false })).toBeUndefined();
  });

  it('asks nobody where nothing is stated', async () => {
    class Unreachable extends NoPeerVerifier {
      override staticAccountOf(): Promise<undefined> {
        throw new Error('asked');
      }
    }
    const nothing = new StaticCallers([], new Unreachable(), authenticator);
    expect(await nothing.callerOf({ peer: PEER, user: 'alice', isForwarded: false })).toBeUndefined();
    const outside = new StaticCallers([FRONTEND], new Unreachable(), undefined);
    expect(await outside.callerOf({ peer: PEER, user: 'alice', isForwarded: false })).toBeUndefined();
  });

  it.each([
    [{ ...FRONTEND, ownTokenSuffices: true }, 'token', false],
    [{ ...FRONTEND, ownTokenSuffices: true }, undefined, true],
    [{ ...FRONTEND, ownTokenSuffices: false }, 'token', true],
    [FRONTEND, 'token', true],
    [{ ...FRONTEND, userTokenRequired: false }, undefined, false],
  ])('needs the user’s token unless its own is there and suffices: %#', async (grant, bearer, needed) => {
    expect(await callerOf(ALICES, { peer: { ...PEER, bearer } }, [grant])).toMatchObject({
      userTokenRequired: needed,
    });
  });
});

describe('what STATIC_GRANTS grants', () => {
  let statics: StaticGrants;
  beforeEach(() => (statics = new StaticGrants([FRONTEND, INTEGRATION])));
  const OF_ALICE = {
    app: 'user-space-alice:system-frontend',
    user: 'alice',
    namespace: 'user-space-alice',
    serviceAccount: 'system-frontend',
    grants: new Set([
      'RetrieveSecret?workspace=settings',
      'ListSecret?workspace=settings',
      'RetrieveSecret?workspace=dashboard',
      'ListSecret?workspace=dashboard',
    ]),
  };
  const SHARED_FOR_ALICE = {
    app: 'os-protected:infisical-sa',
    user: 'alice',
    namespace: 'os-protected',
    serviceAccount: 'infisical-sa',
    grants: new Set(['CreateSecret?workspace=settings']),
  };

  it('is every stated operation on every stated workspace', () => {
    expect(statics.find('alice', 'user-space-alice:system-frontend')).toEqual(OF_ALICE);
    expect(statics.of('alice')).toEqual([OF_ALICE, SHARED_FOR_ALICE]);
  });

  it.each([
    ['bob', 'user-space-alice:system-frontend'],
    ['alice', 'user-space-alice:other'],
    ['alice', 'system-frontend'],
    ['alice', 'notes'],
  ])('is nothing for user %s and caller %s', (user, app) => {
    expect(statics.find(user, app)).toBeUndefined();
  });

  it('is nothing for another user than the one to whom the namespace of an entry belongs', () => {
    const serviceAccounts = new ServiceAccountAuthenticator(new NoReviewer(), new StatedOwners(OWNERS));
    const literal = { ...INTEGRATION, account: ALICES };
    const asked = new StaticGrants([literal, INTEGRATION], serviceAccounts);
    expect(asked.find('alice', 'user-space-alice:system-frontend')?.user).toBe('alice');
    expect(asked.find('bob', 'user-space-alice:system-frontend')).toBeUndefined();
    expect(asked.find('bob', 'os-protected:infisical-sa')?.user).toBe('bob');
  });

  it('takes a user’s name as it is, be it a pattern of replacement', () => {
    expect(statics.find('$&', 'user-space-$&:system-frontend')?.user).toBe('$&');
  });

  it('says which workspaces are in use', () => {
    expect(['settings', 'dashboard', 'notes', ''].map((workspace) => statics.use(workspace))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});
