import { AccessTokens } from '../../src/authn/tokens';
import { AppProofVerifier, BcryptThreads } from '../../src/authn/app-proof.verifier';
import { type Peer, PeerVerifier, type ServiceAccountName } from '../../src/authn/peer-verifier';
import {
  AccessService,
  ProxiedCallerService,
  type RequestedPermission,
} from '../../src/authz/access.service';
import { GrantsService, type WorkspaceSharing } from '../../src/authz/grants.service';
import { fixed } from '../../src/reloadable/reloadable';
import { outcome } from '../conformance/secret-store.conformance';
import { FixedClock } from '../support/fixed-clock';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { ACCESS_TOKEN_KEY } from '../support/tokens';

const READ = 'RetrieveSecret?workspace=desk';
const NOTES = { app: 'notes', user: 'alice', appKey: 'notes-key', appSecret: 'notes-secret', ops: [READ, 'ListSecret'] }; // prettier-ignore
const MAIL = { app: 'mail', user: 'alice', appKey: 'mail-key', appSecret: 'mail-secret', ops: [READ] };
const HASH = `$2b$10$${'a'.repeat(53)}`;

/** Compares without bcrypt: the hash is one of the text that the test states. */
class OneText extends BcryptThreads {
  constructor(private readonly text: string) {
    super();
  }

  override compare(text: string): Promise<boolean> {
    return Promise.resolve(text === this.text);
  }
}

describe('the request for an access token', () => {
  const clock = new FixedClock();
  const timestampS = clock.nowMs() / 1000;
  const tokens = new AccessTokens(fixed(ACCESS_TOKEN_KEY), clock);
  let source: FixedGrantSource;
  beforeEach(() => (source = new FixedGrantSource([NOTES, MAIL])));

  const ask = (
    { appKey, appSecret }: { readonly appKey: string; readonly appSecret: string },
    change: Partial<RequestedPermission> = {},
    sharing: WorkspaceSharing = 'allow',
  ) => {
    const threads = new OneText(`${appKey}${timestampS}${appSecret}`);
    const proofs = new AppProofVerifier(clock, new FixedMonotonicTime(), threads);
    const service = new AccessService(source, new GrantsService(source, sharing), proofs, tokens);
    const permission = {
      dataType: 'secret',
      group: 'secret.infisical',
      version: 'v1',
      ops: [READ],
      ...change,
    };
    return service.request({ appKey, timestampS, hash: HASH }, permission, '10.0.0.1');
  };

  it('issues a token for exactly the operations that were asked for, in their full form', async () => {
    const said = await ask(NOTES, { ops: ['ListSecret', READ] });
    if (said.kind !== 'issued') throw new Error(said.kind);
    expect(said.of).toEqual({ app: 'notes', user: 'alice' });
    expect(await tokens.verify(said.issued.token)).toEqual({
      app: 'notes',
      user: 'alice',
      operations: new Set(['ListSecret?workspace=notes', READ]),
    });
  });

  it('refuses an app with another secret, and names the app that has the key', async () => {
    expect(await ask({ ...NOTES, appSecret: 'mail-secret' })).toEqual({
      kind: 'unproven',
      claimed: { app: 'notes', user: 'alice' },
      refusal: { cause: 'wrong_secret' },
    });
  });

  it('refuses a key that no app has', async () => {
    expect(await ask({ appKey: 'other', appSecret: '' })).toEqual({
      kind: 'unproven',
      claimed: undefined,
      refusal: { cause: 'unknown_key' },
    });
  });

  it.each([
    ['an operation on a workspace that is not granted', { ops: ['DeleteSecret?workspace=desk'] }, 'app notes has no grant for DeleteSecret?workspace=desk'],
    ['one operation among granted ones that is not', { ops: [READ, 'CreateSecret'] }, 'app notes has no grant for CreateSecret'],
    ['a text that is no operation', { ops: ['All'] }, 'app notes has no grant for All'],
    ['a long text, which is cut', { ops: ['x'.repeat(500)] }, `app notes has no grant for ${'x'.repeat(128)}`],
    ['no operation', { ops: [] }, 'ops is empty'],
    ['another dataType', { dataType: 'key' }, 'dataType must be secret'],
    ['another group', { group: 'secret.vault' }, 'group must be secret.infisical'],
    ['another version', { version: 'v2' }, 'version must be v1'],
  ])('refuses a proven app that asks for %s', async (_title, change, missing) => {
    expect(await ask(NOTES, change)).toEqual({ kind: 'refused', of: { app: 'notes', user: 'alice' }, missing });
  }); // prettier-ignore

  it('refuses a workspace that WORKSPACE_SHARING leaves to the app that was installed first', async () => {
    expect(await ask(NOTES, {}, 'deny')).toMatchObject({ kind: 'issued' });
    expect(await ask(MAIL, {}, 'deny')).toEqual({
      kind: 'refused',
      of: { app: 'mail', user: 'alice' },
      missing: 'workspace desk belongs to another app of this user',
    });
  });

  it('is answered with 503 while the grants are not known', async () => {
    source.setReady(false);
    expect(await outcome(ask(NOTES))).toBe('GRANTS_UNAVAILABLE');
  });
});

describe('a call that system-server forwards', () => {
  /** One address is system-server's, one bearer token that of a trusted ServiceAccount. */
  class StatedPeers extends PeerVerifier {
    provesSystemServer(address: string | undefined, user: string): boolean {
      return address === '10.0.0.1' && user === 'alice';
    }

    trustedServiceAccountOf({ bearer }: Peer): Promise<ServiceAccountName | undefined> {
      return Promise.resolve(bearer === 'good' ? { namespace: 'user-system-bob', name: 'proxy' } : undefined);
    }

    provesEventSender(): Promise<boolean> {
      return Promise.resolve(true);
    }

    provesSettings(): Promise<boolean> {
      return Promise.resolve(true);
    }
  }
  let source: FixedGrantSource;
  let service: ProxiedCallerService;
  beforeEach(() => {
    source = new FixedGrantSource([NOTES]);
    service = new ProxiedCallerService(source, new StatedPeers());
  });

  it.each([
    ["the user's system-server", '10.0.0.1', undefined, 'alice', true],
    ["another user's system-server", '10.0.0.1', undefined, 'bob', false],
    ['a trusted ServiceAccount of the user', '10.0.0.2', 'good', 'bob', true],
    ['a trusted ServiceAccount of another user', '10.0.0.2', 'good', 'alice', false],
    ['anybody else', '10.0.0.2', 'bad', 'alice', false],
  ])('from %s is judged by its peer', async (_title, address, bearer, user, proven) => {
    expect(await service.isProven({ address, bearer }, user)).toBe(proven);
  });

  it('is of the app that has the key, for any operation that it holds a grant for', () => {
    expect(service.identify('notes-key', 'alice')).toEqual({
      app: 'notes',
      user: 'alice',
      operations: 'any',
    });
  });

  it.each([
    ['a key that no app has', 'other', 'alice', 'UNAUTHENTICATED', { credential: 'X-Access-Token' }],
    ["another user's key", 'notes-key', 'bob', 'USER_MISMATCH', {}],
  ])('is refused with %s', (_title, key, user, reason, details) => {
    expect(() => service.identify(key, user)).toThrow(expect.objectContaining({ reason, details }));
  });

  it('is answered with 503 while the grants are not known', () => {
    source.setReady(false);
    expect(() => service.identify('notes-key', 'alice')).toThrow(
      expect.objectContaining({ reason: 'GRANTS_UNAVAILABLE' }),
    );
  });
});
