import { TooManyRequests, IdentityUnavailable, Unauthenticated } from '../../src/errors/request-errors';
import { ServiceAccountAuthenticator } from '../../src/authn/caller';
import { TokenReviewer } from '../../src/kubernetes/token-reviewer';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { AUDIENCE, podToken, type TokenToMake } from '../support/service-account-tokens';
import { informerDepsOf } from './informer-deps';

const HOUR_MS = 3_600_000;

describe('the identity of a pod', () => {
  let server: FakeApiServer;
  let clock: FixedClock;
  let time: FixedMonotonicTime;
  let owners: WatchedNamespaceOwners;
  let pods: ServiceAccountAuthenticator;
  beforeEach(async () => {
    server = await FakeApiServer.start();
    clock = new FixedClock();
    time = new FixedMonotonicTime();
    const deps = informerDepsOf(server, time);
    owners = new WatchedNamespaceOwners(deps);
    pods = new ServiceAccountAuthenticator(new TokenReviewer(deps.api, AUDIENCE, clock, time), owners);
    owned('notes-alice', 'alice');
    await eventually(() => expect(server.watches.size).toBe(1));
  });
  afterEach(async () => {
    await owners.close();
    await server.stop();
  });

  const owned = (name: string, owner?: string) =>
    server.of('namespaces').put({
      metadata: { name, ...(owner === undefined ? {} : { labels: { 'bytetrade.io/ns-owner': owner } }) },
    });
  const known = async (name: string, owner?: string): Promise<void> => {
    const { metadata } = owned(name, owner);
    server.bookmark();
    await eventually(() => expect(() => owners.ownerOf(name)).not.toThrow());
    await eventually(() => expect(owners.ownerOf(metadata.name) ?? '').toBe(owner ?? ''));
  };
  const token = (change: Partial<TokenToMake> = {}): string =>
    podToken(server, { namespace: 'notes-alice', expiresAtMs: clock.nowMs() + HOUR_MS, ...change });
  const authenticate = (shown: string, peerAddress = '10.0.0.1') => pods.authenticate(shown, peerAddress);
  const reviews = (): number => server.requests.filter(({ method }) => method === 'POST').length;

  it('is the app and the user of its namespace, for whatever the grants say', async () => {
    expect(await authenticate(token())).toEqual({ app: 'notes', user: 'alice', operations: 'any' });
  });

  it.each([
    ['mail-a-b', 'a-b', { app: 'mail', user: 'a-b' }],
    ['mail-a-b', 'b', { app: 'mail-a', user: 'b' }],
    ['x-y-z', 'z', { app: 'x-y', user: 'z' }],
  ])('splits namespace %s by its owner %s', async (namespace, owner, caller) => {
    await known(namespace, owner);
    expect(await authenticate(token({ namespace }))).toMatchObject(caller);
  });

  it.each([
    ['user-system-alice', 'alice'],
    ['user-space-alice', 'alice'],
    ['user-system-a-b', 'b'],
    ['user-space-a-b', 'a-b'],
    ['kube-system', undefined],
    ['kube-system', 'system'.slice(3)],
    ['mail-bob', undefined],
    ['mail-bob', ''],
    ['mail-bob', 'alice'],
    ['mail-bob', 'ob'],
    ['bob', 'bob'],
    ['-bob', 'bob'],
  ])('is nobody’s in namespace %s with owner %p', async (namespace, owner) => {
    await known(namespace, owner);
    await expect(authenticate(token({ namespace }))).rejects.toEqual(new Unauthenticated('Authorization'));
  });

  it('is nobody in a namespace that does not exist', async () => {
    await expect(authenticate(token({ namespace: 'mail-carol' }))).rejects.toThrow(Unauthenticated);
  });

  it.each([
    ['of another audience', { audience: 'https://kubernetes.default.svc' }],
    ['that is over', { expiresAtMs: Date.parse('2026-11-22T12:00:00Z') }],
  ])('is not proven by a token %s, and the cluster is not asked', async (_, change) => {
    await expect(authenticate(token(change))).rejects.toThrow(Unauthenticated);
    expect(reviews()).toBe(0);
  });

  it('is not proven by a token that only claims our audience', async () => {
    const forged = token();
    server.tokens.set(forged, {
      username: 'system:serviceaccount:notes-alice:default',
      audiences: ['other'],
    });
    await expect(authenticate(forged)).rejects.toThrow(Unauthenticated);
    server.tokens.delete(forged);
    await expect(authenticate(forged)).rejects.toThrow(Unauthenticated);
    expect(reviews()).toBe(2);
  });

  it('needs the cluster to name our audience: one that knows no audiences has checked nothing', async () => {
    const one = token();
    server.reviewStatus = {
      authenticated: true,
      user: { username: 'system:serviceaccount:notes-alice:default' },
    };
    await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
    server.reviewStatus = { ...server.reviewStatus, audiences: ['another'] };
    await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
    server.reviewStatus = { ...server.reviewStatus, audiences: [AUDIENCE], authenticated: 'true' };
    await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
  });

  it.each(['', 'x', 'a.b', 'a.b.c', 'a.bnVsbA.c', 'a.e30.c', `a.${'b'.repeat(9000)}.c`])(
    'is not proven by %p',
    async (nonsense) => {
      await expect(authenticate(nonsense)).rejects.toThrow(Unauthenticated);
      expect(reviews()).toBe(0);
    },
  );

  it.each(['system:node:x', 'alice', 'system:serviceaccount:notes-alice', 'system:serviceaccount:a:b:c', ''])(
    'is not the user %p of the cluster',
    async (username) => {
      const one = token();
      server.tokens.set(one, { username, audiences: [AUDIENCE] });
      await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
    },
  );

  it('is remembered for a minute and then reviewed again, whatever the wall clock does', async () => {
    const one = token();
    await authenticate(one);
    server.tokens.delete(one);
    time.advance(59_000);
    clock.advance(-HOUR_MS);
    await authenticate(one);
    expect(reviews()).toBe(1);
    time.advance(1_000);
    await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
    expect(reviews()).toBe(2);
  });

  it('ends with the expiry of its token, also within the minute', async () => {
    const one = token({ expiresAtMs: clock.nowMs() + 10_000 });
    await authenticate(one);
    clock.advance(10_000);
    await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
  });

  it('is reviewed once for concurrent requests', async () => {
    const one = token();
    await Promise.all(Array.from({ length: 20 }, () => authenticate(one)));
    expect(reviews()).toBe(1);
  });

  const holdReviews = (): (() => void) => {
    let go: () => void = () => undefined;
    server.reviewGate = new Promise((resolve) => (go = resolve));
    return go;
  };
  let made = 0;
  /** Made up: the API server knows none of them. */
  const forged = (): string => {
    const one = token();
    server.tokens.delete(one);
    made += 1;
    return one.replace('canary', `forged-${made}`);
  };
  const refusedOf = async (flood: Promise<PromiseSettledResult<unknown>[]>): Promise<unknown[]> =>
    (await flood).flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  const floodFrom = (addresses: readonly string[], each: number) =>
    Promise.allSettled(
      addresses.flatMap((address) => Array.from({ length: each }, () => authenticate(forged(), address))),
    );

  it('is reviewed while any number of addresses flood, since the queue is fair among addresses', async () => {
    const go = holdReviews();
    const flood = floodFrom(Array.from({ length: 40 }, (_, pod) => `10.0.2.${pod}`), 30);
    const served = Promise.all(Array.from({ length: 20 }, (_, pod) => authenticate(token(), `10.0.1.${pod}`)));
    go();
    expect(await served).toHaveLength(20);
    const refused = await refusedOf(flood);
    expect(refused.filter((reason) => reason instanceof Unauthenticated).length).toBeGreaterThanOrEqual(64);
    expect(refused.filter((reason) => reason instanceof TooManyRequests).length).toBeGreaterThan(1_000);
  }); // prettier-ignore

  it('is reviewed during a flood from its own address where its token was accepted before', async () => {
    const [one, other] = [token(), token()];
    await authenticate(one);
    time.advance(60_000);
    const go = holdReviews();
    const flood = floodFrom(['10.0.0.1'], 200);
    const served = authenticate(one);
    // A token that is seen for the first time cannot be told from those that are made up.
    await expect(authenticate(other)).rejects.toThrow(TooManyRequests);
    go();
    expect(await served).toMatchObject({ app: 'notes' });
    await flood;
    expect(await authenticate(other)).toMatchObject({ app: 'notes' });
  });

  it('gets 429 where its review waits too long, and leaves nothing behind', async () => {
    const go = holdReviews();
    const flood = floodFrom(['10.0.0.1'], 8);
    const late = authenticate(token());
    time.advance(2_000);
    await expect(late).rejects.toThrow(TooManyRequests);
    go();
    await flood;
    expect(await authenticate(token())).toMatchObject({ app: 'notes' });
  });

  it('is not delayed by another pod that floods with unknown tokens', async () => {
    const flood = Promise.allSettled(
      Array.from({ length: 70 }, (_, turn) =>
        authenticate(token(), turn % 2 ? '10.0.0.9' : '::ffff:10.0.0.9'),
      ),
    );
    expect(await authenticate(token(), '10.0.0.1')).toMatchObject({ app: 'notes' });
    const refused = (await flood).filter((outcome) => outcome.status === 'rejected');
    // Eight at once, and sixteen in line.
    expect(refused).toHaveLength(46);
    expect(refused.every(({ reason }) => reason instanceof TooManyRequests)).toBe(true);
    // What was refused took nothing: the pod is served as soon as its own reviews are over.
    expect(await authenticate(token(), '10.0.0.9')).toMatchObject({ app: 'notes' });
  });

  it('is reviewed with a bounded number of concurrent reviews', async () => {
    const many = Array.from({ length: 140 }, (_, pod) => authenticate(token(), `10.0.1.${pod}`));
    const refused = (await Promise.allSettled(many)).filter((outcome) => outcome.status === 'rejected');
    expect(refused).toHaveLength(12);
    expect(await authenticate(token(), '10.0.1.139')).toMatchObject({ app: 'notes' });
  });

  it.each([500, 503, 429, 401, 403])(
    'is unavailable, not refused, while the cluster answers %i',
    async (status) => {
      const one = token();
      server.failing = { status, reason: 'Whatever' };
      const failure: unknown = await authenticate(one).catch((error: unknown) => error);
      expect(failure).toEqual(new IdentityUnavailable('The Kubernetes API server'));
      expect(JSON.stringify(failure)).not.toContain('canary');
      server.failing = undefined;
      expect(await authenticate(one)).toMatchObject({ app: 'notes' });
    },
  );

  it('is unavailable while the owners of namespaces are unknown or outdated', async () => {
    const one = token();
    await authenticate(one);
    await server.stop();
    time.advance(59_000);
    expect(await authenticate(one)).toMatchObject({ app: 'notes' });
    time.advance(600_000);
    expect(() => owners.ownerOf('notes-alice')).toThrow(IdentityUnavailable);
    await expect(authenticate(one)).rejects.toThrow(IdentityUnavailable);
    await server.listen();
  });

  it('ends with its namespace and its owner', async () => {
    const one = token();
    await authenticate(one);
    await known('notes-alice', 'bob');
    await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
    server.of('namespaces').delete(undefined, 'notes-alice');
    await eventually(() => expect(owners.ownerOf('notes-alice')).toBeUndefined());
    await expect(authenticate(one)).rejects.toThrow(Unauthenticated);
  });
});
