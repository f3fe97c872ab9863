import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { Registrar } from '../../src/registration/registrar';
import { permissionOf } from '../support/application-permission';
import { openPermissions } from '../support/permission-feed';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { socketsSettle } from '../support/sockets-settle';
import { WatchedNamespaces, namespace, informerDepsOf } from './informer-deps';

/** Time passes in steps, each long enough for the answers of a real socket. @param ready what each step ends with */
const pass = async (
  time: FixedMonotonicTime,
  seconds: number,
  until: () => boolean = () => false,
  stepS = 1,
  ready: () => void = () => undefined,
) => {
  for (let passedS = 0; passedS < seconds;) {
    const nowS = Math.min(stepS, seconds - passedS);
    time.advance(nowS * 1000);
    passedS += nowS;
    await socketsSettle();
    await eventually(ready);
    if (until()) return passedS;
  }
  return seconds;
};

describe('an API server whose etcd was restored from a snapshot', () => {
  let server: FakeApiServer;
  let time: FixedMonotonicTime;
  let mirror: WatchedNamespaces;
  let maxAgeMs: number | undefined;
  const stops: (() => Promise<void>)[] = [];
  beforeEach(async () => {
    server = await FakeApiServer.start();
    time = new FixedMonotonicTime();
    server.time = time;
    maxAgeMs = undefined;
    server.of('namespaces').put(namespace('kept', 'alice'));
    server.of('namespaces').put(namespace('going', 'bob'));
  });
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
    await server.stop();
  });

  const put = (name: string, owner: string) => server.of('namespaces').put(namespace(name, owner));
  const remove = (name: string) => server.of('namespaces').delete(undefined, name);
  const watched = async () => {
    mirror = new WatchedNamespaces(server, time, undefined, maxAgeMs);
    stops.push(() => mirror.informer.stop());
    mirror.informer.start();
    await eventually(() => expect(server.watches.size).toBe(1));
  };
  /** What it told since the snapshot ought to be forgotten: ten objects and ten revisions. */
  const goOn = async () => {
    for (let index = 0; index < 10; index++) put(`later-${index}`, 'carol');
    await eventually(() => expect([...mirror.informer.keys()]).toHaveLength(12));
  };
  const watches = () => expect(server.watches.size).toBe(1);
  const endWatches = () => {
    for (const watch of server.watches) watch.end();
  };
  const known = () => [...Array(10).keys()].filter((index) => mirror.informer.get(`later-${index}`));

  it.each([2, 60, 119, 3600])(
    'is listed within 5 s of its return, after an outage of %i s: nothing of the lost history is known, and all of the new',
    async (outageS) => {
      await watched();
      const snapshot = server.snapshot();
      await goOn();
      await server.stop();
      server.restore(snapshot);
      await pass(time, outageS, () => false, Math.max(1, outageS / 100));
      await server.listen();
      remove('going');
      put('new', 'dora');
      await pass(time, 5, () => mirror.informer.get('new') === 'dora');
      await eventually(() => expect(mirror.informer.get('new')).toBe('dora'));
      expect(mirror.informer.get('going')).toBeUndefined();
      expect(known()).toEqual([]);
      expect(mirror.logged).toContainEqual({
        level: 'warn',
        event: 'kubernetes_went_back',
        path: '/api/v1/namespaces',
        had: '13',
        has: expect.any(String),
      });
    },
  );

  it('is listed also where its new history has overtaken the old one meanwhile', async () => {
    await watched();
    const snapshot = server.snapshot();
    await goOn();
    await server.stop();
    server.restore(snapshot);
    remove('going');
    for (let index = 0; index < 50; index++) put('busy', `owner-${index}`);
    await pass(time, 20);
    await server.listen();
    await pass(time, 5, () => mirror.informer.get('busy') !== undefined);
    await eventually(() => expect(mirror.informer.get('going')).toBeUndefined());
    expect(known()).toEqual([]);
  });

  it('is read again where an object has other content under the same version', async () => {
    await watched();
    const snapshot = server.snapshot();
    put('kept', 'mallory');
    await eventually(() => expect(mirror.informer.get('kept')).toBe('mallory'));
    await server.stop();
    server.restore(snapshot);
    put('kept', 'nobody');
    await server.listen();
    await pass(time, 5, () => mirror.informer.get('kept') !== 'mallory');
    await eventually(() => expect(mirror.informer.get('kept')).toBe('nobody'));
    expect(mirror.events.at(-2)).toBe('put kept nobody');
  });

  it('is listed where it ended a watch regularly, but early', async () => {
    await watched();
    const snapshot = server.snapshot();
    await goOn();
    await pass(time, 10);
    server.restore(snapshot);
    endWatches();
    await pass(time, 5, () => known().length === 0);
    await eventually(() => expect(known()).toEqual([]));
  });

  it('is listed where a watch reports a revision before ours', async () => {
    await watched();
    await goOn();
    server.restore();
    for (const watch of server.watches) watch.line(JSON.stringify(bookmarkOf(3)));
    await pass(time, 2, () => [...mirror.informer.keys()].length === 0);
    await eventually(() => expect([...mirror.informer.keys()]).toEqual([]));
  });

  it.each(['bookmark', 'event'])('is not believed in a %s of a revision before ours', async (what) => {
    await watched();
    await goOn();
    time.advance(10_000);
    server.failing = { status: 503, reason: 'ServiceUnavailable' };
    const line = what === 'bookmark' ? bookmarkOf(3) : { type: 'ADDED', object: oldObject() };
    for (const watch of server.watches) watch.line(JSON.stringify(line));
    await eventually(() => expect(mirror.informer.up).toBe(false));
    expect(mirror.informer.get('old')).toBeUndefined();
    expect(mirror.informer.ageMs()).toBe(10_000);
  });

  it('is listed within two minutes where no event shows the restoration', async () => {
    await watched();
    const snapshot = server.snapshot();
    await goOn();
    server.restore(snapshot);
    remove('going');
    const waitedS = await pass(time, 300, () => mirror.informer.get('going') === undefined);
    expect(waitedS).toBeLessThanOrEqual(120);
    expect(known()).toEqual([]);
  });

  it('is listed within eleven minutes where another history continues with the same numbers', async () => {
    await watched();
    const snapshot = server.snapshot();
    await goOn();
    server.restore(snapshot);
    remove('going');
    for (let index = 0; index < 20; index++) put('busy', `owner-${index}`);
    const isKnown = () => {
      server.bookmark();
      return mirror.informer.get('going') === undefined;
    };
    expect(await pass(time, 900, isKnown, 5, watches)).toBeLessThanOrEqual(660);
    expect(known()).toEqual([]);
  });

  it('leaves no app installed where it was wiped', async () => {
    const permission = permissionOf(
      { app: 'notes', user: 'alice', appKey: 'k', appSecret: 's', ops: ['ListSecret?workspace=desk'] },
      'notes',
    );
    server.of('applicationpermissions').put(permission);
    const source = await openPermissions(informerDepsOf(server, time));
    stops.push(() => source.close());
    await eventually(() => expect(server.watches.size).toBe(1));
    expect(source.find('alice', 'notes')).toBeDefined();
    await server.stop();
    server.restore();
    await pass(time, 60);
    await server.listen();
    await pass(time, 5, () => source.find('alice', 'notes') === undefined);
    await eventually(() => expect(source.find('alice', 'notes')).toBeUndefined());
    expect(source.status()).toMatchObject({ ready: true, installedApps: 0 });
  });

  it('has the users who came after the restoration registered', async () => {
    put('user-system-alice', 'alice');
    const snapshot = server.snapshot();
    const deps = informerDepsOf(server, time);
    const namespaces = new WatchedNamespaceOwners(deps);
    const registrar = new Registrar({ service: 'secrets', namespace: 'os', port: 8080 }, namespaces, deps);
    registrar.start();
    stops.push(
      () => registrar.close(),
      () => namespaces.close(),
    );
    const provider = (user: string) =>
      server.of('providerregistries').get(`user-system-${user}`, 'secret-provider');
    await eventually(() => {
      time.advance(1);
      expect(provider('alice')).toBeDefined();
    });
    for (let index = 0; index < 10; index++) put(`later-${index}`, 'carol');
    await server.stop();
    server.restore(snapshot);
    await pass(time, 30);
    await server.listen();
    put('user-system-dora', 'dora');
    await pass(time, 8, () => provider('dora') !== undefined && provider('alice') !== undefined);
    await eventually(() => expect([provider('dora'), provider('alice')]).not.toContain(undefined));
  });
});

const bookmarkOf = (version: number) => ({
  type: 'BOOKMARK',
  object: { apiVersion: 'v1', kind: 'Namespace', metadata: { resourceVersion: String(version) } },
});
const oldObject = () => ({ metadata: { name: 'old', resourceVersion: '3' } });

describe('a watch that stays silent', () => {
  let server: FakeApiServer;
  let time: FixedMonotonicTime;
  beforeEach(async () => {
    server = await FakeApiServer.start();
    time = new FixedMonotonicTime();
    server.time = time;
    server.of('namespaces').put(namespace('a', 'alice'));
  });
  afterEach(() => server.stop());
  const watches = () => expect(server.watches.size).toBe(1);

  it.each([
    [600_000, 120_000],
    [60_000, 59_000],
  ])(
    'proves nothing, so that lists confirm what is known: with a maximum age of %i ms it is never older than %i ms',
    async (maxAgeMs, oldestMs) => {
      const mirror = new WatchedNamespaces(server, time, undefined, maxAgeMs);
      mirror.informer.start();
      let oldest = 0;
      await eventually(() => expect(server.watches.size).toBe(1));
      const look = () => {
        oldest = Math.max(oldest, mirror.informer.ageMs());
        return false;
      };
      await pass(time, 300, look, 5, watches);
      await mirror.informer.stop();
      expect(oldest).toBeGreaterThanOrEqual(25_000);
      expect(oldest).toBeLessThanOrEqual(oldestMs);
      expect(server.count('list')).toBeLessThanOrEqual(1 + (300_000 / maxAgeMs) * 2 + 3);
      expect(mirror.events.filter((line) => line !== 'listed')).toEqual(['put a alice']);
    },
  );

  it('causes no list while bookmarks arrive', async () => {
    const mirror = new WatchedNamespaces(server, time);
    mirror.informer.start();
    await eventually(() => expect(server.watches.size).toBe(1));
    const bookmark = () => {
      server.bookmark();
      return false;
    };
    await pass(time, 300, bookmark, 5, watches);
    expect(server.count('list')).toBe(1);
    await mirror.informer.stop();
  });
});
