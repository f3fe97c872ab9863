import { type ObservedWatch, watchProblems } from '../../src/kubernetes/sync-errors';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { type Logged, informerDepsOf } from '../kubernetes/informer-deps';
import { permissionOf } from '../support/application-permission';
import { openPermissions } from '../support/permission-feed';
import { eventually } from '../support/eventually';
import { OTMOICLP } from '../support/example-apps';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { type Service, startService } from '../support/service';
import { socketsSettle } from '../support/sockets-settle';
import { accessToken, userToken } from '../support/tokens';

describe('a service whose API server refuses it or is unavailable', () => {
  let server: FakeApiServer;
  let time: FixedMonotonicTime;
  let logged: Logged[];
  let service: Service;
  let close: () => Promise<void>;
  const clock = new FixedClock();

  beforeEach(async () => {
    [server, time] = [await FakeApiServer.start(), new FixedMonotonicTime()];
    server.time = time;
    server.of('applicationpermissions').put(permissionOf(OTMOICLP, 'otmoiclp'));
    const watches = new Set<ObservedWatch>();
    const deps = { ...informerDepsOf(server, time), watches };
    ({ logged } = deps);
    const grantSource = await openPermissions(deps);
    const owners = new WatchedNamespaceOwners(deps);
    const problems = () => watchProblems(watches);
    service = await startService({ clock, store: new MemorySecretStore(), grantSource, problems });
    await eventually(() => expect(server.watches.size).toBe(2));
    close = async () => {
      await service.close();
      await Promise.all([grantSource.close(), owners.close()]);
      await server.stop();
    };
  });
  afterEach(() => close());

  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 2) {
      time.advance(2000);
      await socketsSettle(6);
    }
  };
  const ready = async () => {
    const { status, body } = await httpCall(`${service.url}/readyz`, { method: 'GET' });
    const { grants, problems } = (body as { data: { grants: string; problems: string[] } }).data;
    return { status, grants, problems };
  };
  const listed = async () => {
    const headers = {
      'x-authorization': await userToken('alice', clock.nowMs()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
    };
    const { status } = await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: {} });
    return status;
  };
  const toldOf = (event: string) => logged.filter((line) => line.event === event);

  it.each([
    [undefined, /does not answer/],
    [401, /does not accept our own token \(401 Gone\).*start the pods anew/],
    [403, /refuses to let us list/],
  ])(
    'is told so by readiness at once (%s), and by one line in the log when every request is 503',
    async (status, sentence) => {
      if (status === undefined) await server.stop();
      else server.failing = { status, reason: 'Gone' };
      server.dropConnections();
      await pass(60);
      expect(await ready()).toMatchObject({ status: 200, grants: 'ok' });
      expect((await ready()).problems).toContainEqual(expect.stringMatching(sentence));
      expect((await ready()).problems.join()).not.toContain('changes are learnt from lists');
      expect(await listed()).toBe(200);
      expect(toldOf('grants_unavailable')).toEqual([]);
      await pass(560);
      expect(await listed()).toBe(503);
      expect(toldOf('grants_unavailable')).toHaveLength(1);
      expect(toldOf('kubernetes_outdated')).toEqual([
        expect.objectContaining({ level: 'error', path: '/api/v1/namespaces' }),
      ]);
      const { problems, ...rest } = await ready();
      expect(rest).toEqual({
        status: 503,
        grants: 'the grants were last confirmed more than 600 s ago',
      });
      // Readiness names no line of the log that is not there.
      const named = [...problems.join().matchAll(/(\w+) in the log/g)].map(([, event = '']) => event);
      expect(named.filter((event) => toldOf(event).length === 0)).toEqual([]);
      if (status === undefined) await server.listen();
      server.failing = undefined;
      await pass(16);
      await eventually(async () => expect(await listed()).toBe(200));
      await eventually(() => {
        for (const event of ['grants_available', 'kubernetes_outdated_ended'])
          expect(toldOf(event)).toHaveLength(1);
      });
      await eventually(async () => expect((await ready()).problems).toEqual([]));
    },
  );
});
