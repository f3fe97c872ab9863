import { SystemMonotonicTime, type MonotonicTime } from '../../src/time/clock';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { socketsSettle } from '../support/sockets-settle';
import { WatchedNamespaces, namespace } from './informer-deps';

/** Real sockets settle within this, while no fixed time passes. */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 60));

describe('an informer', () => {
  let server: FakeApiServer;
  let mirrors: WatchedNamespaces[];
  beforeEach(async () => {
    server = await FakeApiServer.start();
    mirrors = [];
  });
  afterEach(async () => {
    for (const { informer } of mirrors) await informer.stop();
    await server.stop();
  });

  const open = (time: MonotonicTime = new SystemMonotonicTime()): WatchedNamespaces => {
    const mirror = new WatchedNamespaces(server, time);
    mirrors.push(mirror);
    mirror.informer.start();
    return mirror;
  };
  const opened = async (time?: MonotonicTime): Promise<WatchedNamespaces> => {
    const mirror = open(time);
    await eventually(() => expect(server.watches.size).toBe(1));
    return mirror;
  };
  const put = (name: string, owner: string) => server.of('namespaces').put(namespace(name, owner));
  const remove = (name: string) => server.of('namespaces').delete(undefined, name);

  it('reads every page of the first list, and is listed only then', async () => {
    for (let index = 0; index < 1201; index++) put(`n-${index}`, 'alice');
    server.listDelayMs = 20;
    const { informer, events } = open();
    expect(informer.listed).toBe(false);
    expect(informer.ageMs()).toBe(Infinity);
    await informer.firstOutcome;
    expect([...informer.keys()]).toHaveLength(1201);
    expect(informer.listed).toBe(true);
    expect(events.filter((line) => line === 'listed')).toHaveLength(1);
    expect(events.at(-1)).toBe('listed');
    expect(server.count('list')).toBe(3);
  });

  it('follows objects that are added, changed and removed', async () => {
    put('a', 'alice');
    const { informer, events } = await opened();
    put('b', 'bob');
    put('a', 'carol');
    remove('b');
    await eventually(() => expect(events.at(-1)).toBe('removed b'));
    expect(events).toEqual(['put a alice', 'listed', 'put b bob', 'put a carol', 'removed b']);
    expect(informer.get('a')).toBe('carol');
    expect(server.count('list')).toBe(1);
  });

  it('lists again after a dropped watch, and misses no removal in between', async () => {
    put('a', 'alice');
    const time = new FixedMonotonicTime();
    const { events, informer } = await opened(time);
    server.dropConnections();
    await eventually(() => expect(server.watches.size).toBe(0));
    remove('a');
    put('b', 'bob');
    await quiet();
    time.advance(1000);
    await eventually(() => expect(events.slice(2)).toEqual(['removed a', 'put b bob', 'listed']));
    expect(informer.get('a')).toBeUndefined();
  });

  it('resumes a watch that ended regularly, without another list', async () => {
    put('a', 'alice');
    const time = new FixedMonotonicTime();
    server.time = time;
    const { events } = await opened(time);
    put('b', 'bob');
    await eventually(() => expect(events.at(-1)).toBe('put b bob'));
    time.advance(30_000);
    await eventually(() => expect(server.count('watch')).toBe(2));
    remove('a');
    await eventually(() => expect(events.at(-1)).toBe('removed a'));
    expect(server.count('list')).toBe(1);
  });

  it('keeps its objects while the server is away, and catches up when it is back', async () => {
    put('a', 'alice');
    const time = new FixedMonotonicTime();
    const { informer, logged } = await opened(time);
    await server.stop();
    await eventually(() => expect(logged.length).toBeGreaterThan(0));
    for (let turn = 0; turn < 4; turn++) {
      time.advance(15_000);
      await quiet();
      expect(informer.get('a')).toBe('alice');
    }
    remove('a');
    server.compact();
    await server.listen();
    time.advance(3_000);
    await eventually(() => expect(informer.get('a')).toBeUndefined());
    expect(informer.ageMs()).toBe(0);
  });

  it.each([
    ['at once', []],
    ['behind a while in which it knows no roles yet', Array<number>(4).fill(403)],
    ['behind a while in which its etcd does not answer', Array<number>(4).fill(500)],
    ['behind a while in which it knows nobody', Array<number>(4).fill(401)],
  ])(
    'knows within 5 s what was removed during an outage of an hour, when the server is back %s',
    async (_, statuses) => {
      put('a', 'alice');
      const time = new FixedMonotonicTime();
      const { informer, events } = await opened(time);
      await server.stop();
      for (let turn = 0; turn < 60; turn++) {
        time.advance(60_000);
        await socketsSettle();
      }
      remove('a');
      server.compact();
      const passSecond = async () => {
        time.advance(1000);
        await socketsSettle();
      };
      server.failing = statuses[0] === undefined ? undefined : { status: statuses[0], reason: 'Starting' };
      await server.listen();
      for (const _second of statuses) await passSecond();
      server.failing = undefined;
      for (let second = 0; second < 5 && [...informer.keys()].length > 0; second++) await passSecond();
      await eventually(() => expect(events.slice(2)).toEqual(['removed a', 'listed']));
    },
  );

  it.each(['status', 'event'] as const)(
    'lists at once after Gone as %s, whatever went wrong before',
    async (how) => {
      put('a', 'alice');
      const time = new FixedMonotonicTime();
      server.time = time;
      server.failing = { status: 403, reason: 'Forbidden' };
      open(time);
      for (let turn = 0; turn < 5; turn++) {
        await quiet();
        time.advance(15_000);
      }
      server.failing = undefined;
      await eventually(() => {
        time.advance(1000);
        expect(server.watches.size).toBe(1);
      });
      time.advance(30_000);
      await eventually(() => expect(server.count('watch')).toBe(2));
      await quiet();
      const lists = server.count('list');
      server.gone = how;
      time.advance(30_000);
      await eventually(() => expect(server.count('list')).toBe(lists + 1));
    },
  );

  it.each(['status', 'event'] as const)(
    'lists again after Gone as %s, and says what was removed',
    async (how) => {
      put('a', 'alice');
      put('b', 'bob');
      const time = new FixedMonotonicTime();
      const { events } = await opened(time);
      server.dropConnections();
      await eventually(() => expect(server.watches.size).toBe(0));
      remove('a');
      server.compact();
      if (how === 'event') server.gone = 'event';
      await quiet();
      time.advance(1000);
      await eventually(() => expect(server.count('watch')).toBe(2));
      server.gone = undefined;
      await quiet();
      time.advance(2000);
      await eventually(() => expect(events.slice(-2)).toEqual(['removed a', 'listed']));
      expect(events).not.toContain('removed b');
    },
  );

  it.each(['status', 'event'] as const)('backs off in a storm of Gone as %s', async (how) => {
    const time = new FixedMonotonicTime();
    server.gone = how;
    const { informer } = open(time);
    await eventually(() => expect(server.count('watch')).toBe(1));
    for (let second = 0; second < 60; second++) {
      time.advance(1000);
      await socketsSettle();
    }
    // 1, 2, 4, 8, 15, 15, 15 s apart: seven rounds in a minute, each a list and a watch.
    expect(server.requests.length).toBeGreaterThan(6);
    expect(server.requests.length).toBeLessThan(20);
    put('a', 'alice');
    server.gone = undefined;
    time.advance(15_000);
    await eventually(() => expect(informer.get('a')).toBe('alice'));
  });

  it('cuts a half-open watch, and finds with the next list what it missed', async () => {
    put('a', 'alice');
    const time = new FixedMonotonicTime();
    const { informer } = await opened(time);
    for (const watch of server.watches) watch.fallSilent();
    remove('a');
    time.advance(34_000);
    await quiet();
    expect(informer.get('a')).toBe('alice');
    expect(server.count('watch')).toBe(1);
    time.advance(1_000);
    await quiet();
    time.advance(1_000);
    await eventually(() => expect(informer.get('a')).toBeUndefined());
  });

  it('lists again where every watch stays half-open, so that a removal is known within 40 s', async () => {
    put('a', 'alice');
    const time = new FixedMonotonicTime();
    server.silentWatches = true;
    const { informer } = await opened(time);
    await quiet();
    time.advance(36_000);
    await quiet();
    remove('a');
    for (let second = 0; second < 40; second += 5) {
      time.advance(5_000);
      await socketsSettle();
    }
    await eventually(() => expect(informer.get('a')).toBeUndefined());
    expect(server.requests.length).toBeLessThan(9);
  });

  it('cuts a list that never answers', async () => {
    server.listDelayMs = 600_000;
    const time = new FixedMonotonicTime();
    const { informer, logged } = open(time);
    await eventually(() => expect(server.count('list')).toBe(1));
    time.advance(30_000);
    await informer.firstOutcome;
    expect(logged).toEqual([
      expect.objectContaining({ event: 'kubernetes_watch_failed', reason: 'Timeout' }),
    ]);
    expect(informer.listed).toBe(false);
  });

  it.each([
    // As outages, which end without our doing: 1, 2, 3, 3 … s apart.
    [429, 'TooManyRequests', 22],
    [500, 'InternalError', 22],
    [503, 'ServiceUnavailable', 22],
    // 1, 2, 4, 8, 15, 15 … s apart.
    [401, 'Unauthorized', 9],
    [403, 'Forbidden', 9],
  ])('backs off from %i and keeps nothing but status and reason', async (status, reason, requests) => {
    const time = new FixedMonotonicTime();
    server.failing = { status, reason };
    const { informer, logged } = open(time);
    await informer.firstOutcome;
    for (let second = 0; second < 60; second++) {
      time.advance(1000);
      await socketsSettle(5);
    }
    expect(server.requests.length).toBeLessThan(requests);
    expect(logged[0]).toMatchObject({ level: 'warn', event: 'kubernetes_watch_failed', status, reason });
    expect(JSON.stringify(logged)).not.toContain('canary');
  });

  it('logs a failure that persists once in five minutes, and its end', async () => {
    const time = new FixedMonotonicTime();
    server.failing = { status: 503, reason: 'ServiceUnavailable' };
    const { logged } = open(time);
    const failures = () => logged.map(({ event, status }) => `${event} ${String(status)}`);
    const failed = (status: number) => `kubernetes_watch_failed ${status}`;
    await eventually(() => expect(failures()).toEqual([failed(503)]));
    for (let round = 0; round < 19; round++) {
      time.advance(15_000);
      await socketsSettle();
    }
    expect(failures()).toEqual([failed(503)]);
    await eventually(() => {
      time.advance(1000);
      expect(failures()).toEqual([failed(503), failed(503)]);
    });
    server.failing = { status: 403, reason: 'Forbidden' };
    await eventually(() => {
      time.advance(1000);
      expect(failures().at(-1)).toBe(failed(403));
    });
    server.failing = undefined;
    await eventually(() => {
      time.advance(1000);
      expect(server.watches.size).toBe(1);
    });
    server.bookmark();
    await eventually(() => expect(failures().at(-1)).toBe('kubernetes_watch_recovered undefined'));
  });

  it('waits as long as Retry-After says', async () => {
    const time = new FixedMonotonicTime();
    server.failing = { status: 429, reason: 'TooManyRequests', headers: { 'retry-after': '40' } };
    const { informer } = open(time);
    await informer.firstOutcome;
    await quiet();
    time.advance(39_000);
    await quiet();
    expect(server.requests).toHaveLength(1);
    time.advance(1_000);
    await eventually(() => expect(server.requests).toHaveLength(2));
  });

  it('lists again after a line that it cannot parse, which may have been a removal', async () => {
    put('a', 'alice');
    const time = new FixedMonotonicTime();
    const { informer } = await opened(time);
    const [watch] = server.watches;
    watch?.line('{"type":"DELETED","object":{"metadata":{"name":"a"');
    await eventually(() => expect(server.watches.size).toBe(0));
    remove('a');
    time.advance(1000);
    await eventually(() => expect(informer.get('a')).toBeUndefined());
    expect(server.count('list')).toBe(2);
  });

  it('counts bookmarks, but not regular ends of watches, as a sync, and resumes from a bookmark', async () => {
    put('a', 'alice');
    const time = new FixedMonotonicTime();
    const { informer } = await opened(time);
    time.advance(20_000);
    expect(informer.ageMs()).toBe(20_000);
    server.of('applicationpermissions').put({ metadata: { name: 'x', namespace: 'y' } });
    server.bookmark();
    await eventually(() => expect(informer.ageMs()).toBe(0));
    time.advance(10_000);
    for (const watch of server.watches) watch.end();
    await eventually(() => expect(server.count('watch')).toBe(2));
    expect(informer.ageMs()).toBe(10_000);
    expect(server.count('list')).toBe(1);
    expect(server.requests.at(-1)?.query.get('resourceVersion')).toBe('4');
  });

  it('backs off where watches end as soon as they begin', async () => {
    const time = new FixedMonotonicTime();
    await opened(time);
    for (let second = 0; second < 60; second++) {
      for (const watch of server.watches) watch.end();
      await socketsSettle(5);
      time.advance(1000);
    }
    expect(server.requests.length).toBeLessThanOrEqual(14);
  });

  it('does not depend on the wall clock', async () => {
    put('a', 'alice');
    const { informer } = await opened();
    const now = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 365 * 86_400_000);
    try {
      expect(informer.ageMs()).toBeLessThan(5_000);
      put('b', 'bob');
      await eventually(() => expect(informer.get('b')).toBe('bob'));
      now.mockReturnValue(0);
      remove('a');
      await eventually(() => expect(informer.get('a')).toBeUndefined());
      expect(informer.ageMs()).toBeGreaterThanOrEqual(0);
      expect(server.requests).toHaveLength(2);
    } finally {
      now.mockRestore();
    }
  });

  it('stops during a list, a watch or a pause, and sends no more requests', async () => {
    const watching = await opened(new FixedMonotonicTime());
    await watching.informer.stop();
    server.failing = { status: 500, reason: 'InternalError' };
    const waiting = open(new FixedMonotonicTime());
    await waiting.informer.firstOutcome;
    await waiting.informer.stop();
    server.failing = undefined;
    server.listDelayMs = 600_000;
    const listing = open(new FixedMonotonicTime());
    await eventually(() => expect(server.count('list')).toBe(3));
    await listing.informer.stop();
    await listing.informer.stop();
    await quiet();
    expect(server.requests).toHaveLength(4);
  });
});
