import { type ObservedWatch, watchProblems } from '../../src/kubernetes/sync-errors';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { socketsSettle } from '../support/sockets-settle';
import { Informer } from '../../src/kubernetes/informer';
import { WatchedNamespaces, namespace, informerDepsOf } from './informer-deps';

/** Time passes in steps of a second, each long enough for the answers of a real socket. */
const pass = async (time: FixedMonotonicTime, seconds: number, until: () => boolean = () => false) => {
  for (let second = 1; second <= seconds; second++) {
    time.advance(1000);
    await socketsSettle();
    if (until()) return second;
  }
  return seconds;
};

describe('an informer whose watch is refused while lists are answered', () => {
  let server: FakeApiServer;
  let time: FixedMonotonicTime;
  let mirror: WatchedNamespaces;
  let watches: Set<ObservedWatch>;

  beforeEach(async () => {
    server = await FakeApiServer.start();
    server.of('namespaces').put(namespace('a', 'alice'));
    time = new FixedMonotonicTime();
    watches = new Set();
    mirror = new WatchedNamespaces(server, time, watches);
  });
  afterEach(async () => {
    await mirror.informer.stop();
    await server.stop();
  });

  const refusedFromTheStart = async () => {
    server.refusingWatches = { status: 403, reason: 'Forbidden' };
    mirror.informer.start();
    await eventually(() => expect(mirror.events).toContain('listed'));
    await pass(time, 60);
  };

  it('learns of a revocation by a list within 16 s, and lists no more often than its back-off allows', async () => {
    await refusedFromTheStart();
    server.requests.length = 0;
    server.of('namespaces').delete(undefined, 'a');
    const waitedS = await pass(time, 60, () => mirror.events.includes('removed a'));
    expect(waitedS).toBeLessThanOrEqual(16);
    await pass(time, 60 - waitedS);
    expect(server.count('list')).toBeLessThanOrEqual(5);
    expect(server.count('watch')).toBeLessThanOrEqual(5);
  });

  it('is not up, whatever the lists return, and readiness says so without naming a namespace', async () => {
    await refusedFromTheStart();
    expect(mirror.informer.up).toBe(false);
    expect(watchProblems(watches)).toEqual([
      'The Kubernetes API refuses to let us watch namespaces (403 Forbidden): changes are learnt from lists, some seconds late.',
    ]);
    expect(mirror.logged).toEqual([
      expect.objectContaining({ level: 'warn', event: 'kubernetes_watch_failed', status: 403 }),
    ]);
  });

  it('recovers once the watch is allowed again', async () => {
    await refusedFromTheStart();
    server.refusingWatches = undefined;
    await pass(time, 20, () => server.watches.size === 1);
    server.bookmark();
    await eventually(() => expect(watchProblems(watches)).toEqual([]));
    expect(mirror.informer.up).toBe(true);
    server.of('namespaces').delete(undefined, 'a');
    await eventually(() => expect(mirror.events).toContain('removed a'));
  });

  it.each([
    [403, 'Forbidden', /refuses to let us list namespaces \(403 Forbidden\): what is known .* grows old/],
    [
      401,
      'Unauthorized',
      /does not accept our own token \(401 Unauthorized\): .* grows old .*start the pods anew\.$/,
    ],
    [500, 'InternalError', /list namespaces \(500 InternalError\): .* grows old/],
  ])(
    'grows old where lists are answered %i as well, and nobody says that lists tell of changes',
    async (status, reason, sentence) => {
      await refusedFromTheStart();
      server.failing = { status, reason };
      await pass(time, 60);
      expect(mirror.informer.ageMs()).toBeGreaterThan(40_000);
      expect(watchProblems(watches)).toEqual([expect.stringMatching(sentence)]);
      server.failing = undefined;
      await pass(time, 20);
      await eventually(() =>
        expect(watchProblems(watches)).toEqual([expect.stringMatching(/changes are learnt from lists/)]),
      );
    },
  );

  it('becomes outdated where nobody answers, and readiness says so once for all resources', async () => {
    const pods = new Informer(
      { path: '/api/v1/pods', read: () => 1 },
      { ...informerDepsOf(server, time), watches },
    );
    mirror.informer.start();
    pods.start();
    await eventually(() => expect(server.watches.size).toBe(2));
    await server.stop();
    await pass(time, 10);
    expect(watchProblems(watches)).toEqual([
      'The Kubernetes API does not answer (ECONNREFUSED): what is known of the cluster grows old and counts for GRANTS_MAX_AGE_S at most.',
    ]);
    await server.listen();
    await pass(time, 5);
    await eventually(() => expect(watchProblems(watches)).toEqual([]));
    await pods.stop();
  });

  it('has no problem after a single refusal', async () => {
    mirror.informer.start();
    await eventually(() => expect(server.watches.size).toBe(1));
    server.refusingWatches = { status: 503, reason: 'ServiceUnavailable' };
    server.dropConnections();
    await pass(time, 1);
    expect(watchProblems(watches)).toEqual([]);
  });
});
