import { WatchProblems } from '../../src/kubernetes/watch-problems';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { Mirror, namespace } from './mirror';

/** Time passes in steps of a second, each long enough for the answers of a real socket. */
const pass = async (time: FixedMonotonicTime, seconds: number, until: () => boolean = () => false) => {
  for (let second = 1; second <= seconds; second++) {
    time.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 15));
    if (until()) return second;
  }
  return seconds;
};

describe('a collection whose watch is refused while lists are answered', () => {
  let server: FakeApiServer;
  let time: FixedMonotonicTime;
  let mirror: Mirror;
  let problems: WatchProblems;

  beforeEach(async () => {
    server = await FakeApiServer.start();
    server.of('namespaces').put(namespace('a', 'alice'));
    time = new FixedMonotonicTime();
    problems = new WatchProblems();
    mirror = new Mirror(server, time, problems);
  });
  afterEach(async () => {
    await mirror.collection.stop();
    await server.stop();
  });

  const refusedFromTheStart = async () => {
    server.refusingWatches = { status: 403, reason: 'Forbidden' };
    mirror.collection.start();
    await eventually(() => expect(mirror.said).toContain('listed'));
    await pass(time, 60);
  };

  it('learns a revocation from a list within 16 s, and asks no more often than a back-off allows', async () => {
    await refusedFromTheStart();
    server.requests.length = 0;
    server.of('namespaces').delete(undefined, 'a');
    const waitedS = await pass(time, 60, () => mirror.said.includes('removed a'));
    expect(waitedS).toBeLessThanOrEqual(16);
    await pass(time, 60 - waitedS);
    expect(server.count('list')).toBeLessThanOrEqual(5);
    expect(server.count('watch')).toBeLessThanOrEqual(5);
  });

  it('is no good watch, whatever the lists say, and an operator is told so without a name', async () => {
    await refusedFromTheStart();
    expect(mirror.collection.up).toBe(false);
    expect(problems.sentences()).toEqual([
      'The Kubernetes API refuses to let us watch namespaces (403 Forbidden): changes are learnt from lists, some seconds late.',
    ]);
    expect(mirror.logged).toEqual([
      expect.objectContaining({ level: 'warn', event: 'kubernetes_watch_failed', status: 403 }),
    ]);
  });

  it('is as before once the watch is allowed again', async () => {
    await refusedFromTheStart();
    server.refusingWatches = undefined;
    await pass(time, 20, () => server.watches.size === 1);
    server.bookmark();
    await eventually(() => expect(problems.sentences()).toEqual([]));
    expect(mirror.collection.up).toBe(true);
    server.of('namespaces').delete(undefined, 'a');
    await eventually(() => expect(mirror.said).toContain('removed a'));
  });

  it('grows old where lists are refused as well', async () => {
    await refusedFromTheStart();
    server.failing = { status: 403, reason: 'Forbidden' };
    await pass(time, 60);
    expect(mirror.collection.ageMs()).toBeGreaterThan(40_000);
    expect(problems.sentences()).toHaveLength(1);
  });

  it('is no problem for one refusal alone', async () => {
    mirror.collection.start();
    await eventually(() => expect(server.watches.size).toBe(1));
    server.refusingWatches = { status: 503, reason: 'ServiceUnavailable' };
    server.dropConnections();
    await pass(time, 1);
    expect(problems.sentences()).toEqual([]);
  });
});
