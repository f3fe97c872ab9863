import { AccessTokens, UserTokenVerifier } from '../../src/authn/tokens';
import {
  CallerAuthenticator,
  appInNamespace,
  NamespaceOwners,
  ServiceAccountAuthenticator,
  ServiceAccountReviewer,
} from '../../src/authn/caller';
import type { ServiceAccountName } from '../../src/authn/peer-verifier';
import { DomainError } from '../../src/errors/domain-error';
import { fixed } from '../../src/reloadable/reloadable';
import { FixedClock } from '../support/fixed-clock';
import { ACCESS_TOKEN_KEY, accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

/** Bearer tokens are `<namespace>:<name>` here; each review is recorded with the address that it came by. */
class StatedReviewer extends ServiceAccountReviewer {
  readonly reviewed: unknown[] = [];

  review(token: string, peerAddress: string | undefined): Promise<ServiceAccountName | undefined> {
    this.reviewed.push([token, peerAddress]);
    const [namespace = '', name] = token.split(':');
    return Promise.resolve(name === undefined ? undefined : { namespace, name });
  }
}
class StatedOwners extends NamespaceOwners {
  ownerOf(namespace: string): string | undefined {
    return { 'notes-alice': 'alice', 'mail-alice': 'alice', 'notes-bob': 'bob', 'user-space-alice': 'alice', shared: 'alice', 'no-owner': '' }[namespace]; // prettier-ignore
  }
}

const OPS = ['RetrieveSecret?workspace=desk'];

describe('who calls', () => {
  const clock = new FixedClock();
  const reviewer = new StatedReviewer();
  const pods = new ServiceAccountAuthenticator(reviewer, new StatedOwners());
  const users = new UserTokenVerifier(fixed(USER_TOKEN_SECRET), clock);
  const [notes, alice, bob] = [accessToken('notes', 'alice', OPS, clock.nowMs()), userToken('alice', clock.nowMs()), userToken('bob', clock.nowMs())]; // prettier-ignore

  const authenticate = async (
    sent: { readonly user?: Promise<string>; readonly app?: Promise<string>; readonly bearer?: string },
    { required = true, cluster = true } = {},
  ) => {
    const tokens = new AccessTokens(fixed(ACCESS_TOKEN_KEY), clock);
    const authenticator = new CallerAuthenticator(tokens, users, required, cluster ? pods : undefined);
    try {
      const peer = { address: '10.0.0.1', bearer: sent.bearer };
      return await authenticator.authenticate({ userToken: await sent.user, accessToken: await sent.app, peer });
    } catch (error: unknown) {
      if (error instanceof DomainError) return [error.reason, ...Object.values(error.details)].join(' ');
      throw error;
    }
  }; // prettier-ignore
  const NOTES = { app: 'notes', user: 'alice', operations: new Set(OPS) };

  it('is the app of the access token, for the operations that it was issued for', async () => {
    expect(await authenticate({ user: alice, app: notes })).toEqual(NOTES);
  });

  it('is the app of the pod, whose token carries no list of operations', async () => {
    reviewer.reviewed.splice(0);
    expect(await authenticate({ user: alice, bearer: 'notes-alice:default' })).toEqual({ ...NOTES, operations: 'any' });
    expect(reviewer.reviewed).toEqual([['notes-alice:default', '10.0.0.1']]);
  }); // prettier-ignore

  it('is bound by the access token’s operations where the pod sends both', async () => {
    expect(await authenticate({ user: alice, app: notes, bearer: 'notes-alice:default' })).toEqual(NOTES);
  });

  it.each<[string, Parameters<typeof authenticate>[0], string]>([
    ['no credential', {}, 'UNAUTHENTICATED X-Authorization'],
    ['no user token', { app: notes }, 'UNAUTHENTICATED X-Authorization'],
    ['a user token alone', { user: alice }, 'UNAUTHENTICATED X-Access-Token'],
    ['a user token that is not good', { user: Promise.resolve('x'), app: notes }, 'UNAUTHENTICATED X-Authorization'],
    ['an access token that is not good', { user: alice, app: alice }, 'UNAUTHENTICATED X-Access-Token'],
    ['an access token of another user', { user: bob, app: notes }, 'USER_MISMATCH'],
    ['a pod of another user', { user: bob, bearer: 'notes-alice:default' }, 'USER_MISMATCH'],
    ['a bearer token that is not good beside a good access token', { user: alice, app: notes, bearer: 'x' }, 'UNAUTHENTICATED Authorization'],
    ['another app’s pod', { user: alice, app: notes, bearer: 'mail-alice:default' }, 'UNAUTHENTICATED Authorization'],
    ['another user’s pod', { user: alice, app: notes, bearer: 'notes-bob:default' }, 'UNAUTHENTICATED Authorization'],
    ['a pod whose namespace has no owner', { user: alice, bearer: 'no-owner:default' }, 'UNAUTHENTICATED Authorization'],
    ['a pod whose namespace nobody knows', { user: alice, bearer: 'eve-alice:default' }, 'UNAUTHENTICATED Authorization'],
    ['a pod in a namespace that is not named like its owner', { user: alice, bearer: 'shared:default' }, 'UNAUTHENTICATED Authorization'],
    ['a system pod of the user', { user: alice, bearer: 'user-space-alice:default' }, 'UNAUTHENTICATED Authorization'],
  ])('is refused with %s', async (_title, sent, refusal) => {
    expect(await authenticate(sent)).toBe(refusal);
  }); // prettier-ignore

  it('refuses a bearer token where there is no cluster to ask', async () => {
    const sent = { user: alice, app: notes, bearer: 'notes-alice:default' };
    expect(await authenticate(sent, { cluster: false })).toBe('UNAUTHENTICATED Authorization');
  });

  it('is known without a user token where none is required, and one that is sent must be good all the same', async () => {
    expect(await authenticate({ app: notes }, { required: false })).toEqual(NOTES);
    expect(await authenticate({ user: bob, app: notes }, { required: false })).toBe('USER_MISMATCH');
    const bad = { user: Promise.resolve(''), app: notes };
    expect(await authenticate(bad, { required: false })).toBe('UNAUTHENTICATED X-Authorization');
  });

  it('is the user alone for the Settings routes, whose token is never optional', async () => {
    const authenticator = new CallerAuthenticator(new AccessTokens(fixed(ACCESS_TOKEN_KEY), clock), users, false, pods);
    expect(await authenticator.authenticateUser(await alice)).toEqual({ user: 'alice', groups: ['lldap_admin'] });
    await expect(authenticator.authenticateUser(undefined)).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
  }); // prettier-ignore

  it('finds the user of a namespace, be it an app’s or a system one', () => {
    expect(['notes-bob', 'user-space-alice', 'other'].map((namespace) => pods.userOf(namespace))).toEqual(['bob', 'alice', undefined]); // prettier-ignore
  });
});

describe('the app of a namespace', () => {
  it.each([
    ['mail-a-b', 'a-b', 'mail'],
    ['mail-a-b', 'b', 'mail-a'],
    ['a-user-space-alice', 'alice', 'a-user-space'],
    ['mail-alice', 'lice', undefined],
    ['mail-alice', 'bob', undefined],
    ['-alice', 'alice', undefined],
    ['alice', 'alice', undefined],
    ['mail-', '', undefined],
    ['user-space-alice', 'alice', undefined],
    ['user-system-alice', 'alice', undefined],
  ])('%s of user %s is %s', (namespace, owner, app) => {
    expect(appInNamespace(namespace, owner)).toBe(app);
  });
});
