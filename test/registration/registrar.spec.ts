import { type MonotonicTime, SystemMonotonicTime } from '../../src/time/clock';
import { WatchedNamespaceOwners } from '../../src/kubernetes/watched-objects';
import { Registrar } from '../../src/registration/registrar';
import { type Logged, informerDepsOf } from '../kubernetes/informer-deps';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { socketsSettle } from '../support/sockets-settle';

const ENDPOINT = { service: 'olares-secret-provider', namespace: 'os-secrets', port: 8080 };

describe('the registration as provider', () => {
  let server: FakeApiServer;
  let registrars: Registrar[];
  let namespaces: WatchedNamespaceOwners[];
  beforeEach(async () => {
    server = await FakeApiServer.start();
    registrars = [];
    namespaces = [];
  });
  afterEach(async () => {
    for (const one of [...registrars, ...namespaces]) await one.close();
    await server.stop();
  });

  const open = (time: MonotonicTime = new SystemMonotonicTime()): readonly Logged[] => {
    const deps = informerDepsOf(server, time);
    const owners = new WatchedNamespaceOwners(deps);
    namespaces.push(owners);
    registrars.push(new Registrar(ENDPOINT, owners, deps));
    registrars.at(-1)?.start();
    return deps.logged;
  };
  const providers = () => server.of('providerregistries');
  const provider = (user: string) => providers().get(`user-system-${user}`, 'secret-provider');
  const addNamespace = (name: string, more: object = {}) =>
    server.of('namespaces').put({ metadata: { name, ...more } });
  const writes = () => server.requests.filter(({ method }) => method !== 'GET').length;

  it("states the contract's ProviderRegistry in each user's system namespace, and in no other", async () => {
    for (const name of [
      'user-system-alice',
      'user-system-b-c',
      'user-space-alice',
      'mail-alice',
      'kube-system',
    ])
      addNamespace(name);
    open();
    await eventually(() => expect(providers().list()).toHaveLength(2));
    expect(provider('b-c')).toBeDefined();
    expect(provider('alice')).toMatchObject({
      apiVersion: 'sys.bytetrade.io/v1alpha1',
      kind: 'ProviderRegistry',
      spec: {
        kind: 'provider',
        dataType: 'secret',
        group: 'secret.infisical',
        version: 'v1',
        deployment: 'olares-secret-provider',
        namespace: 'os-secrets',
        endpoint: 'olares-secret-provider.os-secrets:8080',
        opApis: [
          { name: 'RetrieveSecret', uri: '/RetrieveSecret' },
          { name: 'CreateSecret', uri: '/CreateSecret' },
          { name: 'UpdateSecret', uri: '/UpdateSecret' },
          { name: 'DeleteSecret', uri: '/DeleteSecret' },
          { name: 'ListSecret', uri: '/ListSecret' },
        ],
      },
      status: { state: 'active' },
    });
  });

  it('subscribes to the events of created and deleted users', async () => {
    open();
    await eventually(() => expect(server.of('syseventregistries').list()).toHaveLength(2));
    const specs = server.of('syseventregistries').list('os-secrets');
    expect(specs.map(({ spec }) => spec)).toEqual([
      {
        type: 'subscriber',
        event: 'user.create',
        callback: 'http://olares-secret-provider.os-secrets:8080/user/create',
      },
      {
        type: 'subscriber',
        event: 'user.delete',
        callback: 'http://olares-secret-provider.os-secrets:8080/user/delete',
      },
    ]);
  });

  it('registers for a new user as they appear', async () => {
    open();
    await eventually(() => expect(server.watches.size).toBe(3));
    addNamespace('user-system-dora');
    await eventually(() => expect(provider('dora')).toBeDefined());
  });

  it('creates removed objects again, patches those that drifted, and keeps the fields of others', async () => {
    addNamespace('user-system-alice');
    open();
    await eventually(() => expect(provider('alice')).toBeDefined());
    const right = provider('alice') as { spec: object; metadata: { name: string } };
    providers().put({
      ...right,
      metadata: { name: 'secret-provider', namespace: 'user-system-alice', labels: { team: 'x' } },
      spec: { ...right.spec, endpoint: 'elsewhere.evil:80', opApis: [], description: 'by hand' },
      status: { state: 'suspended' },
    });
    await eventually(() =>
      expect(provider('alice')).toMatchObject({
        metadata: { labels: { team: 'x', 'app.kubernetes.io/managed-by': 'olares-secret-provider' } },
        spec: { ...right.spec, description: 'by hand' },
        status: { state: 'active' },
      }),
    );
    providers().delete('user-system-alice', 'secret-provider');
    await eventually(() => expect(provider('alice')).toBeDefined());
  });

  it('writes nothing in a namespace that is being deleted', async () => {
    addNamespace('user-system-alice');
    addNamespace('user-system-gone', { deletionTimestamp: '2026-11-23T00:00:00Z' });
    const time = new FixedMonotonicTime();
    open(time);
    const until = (expectation: () => void) =>
      eventually(() => {
        time.advance(1);
        expectation();
      });
    await until(() => expect(writes()).toBe(3));
    addNamespace('user-system-alice', { deletionTimestamp: '2026-11-23T00:00:00Z' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    providers().delete('user-system-alice', 'secret-provider');
    await new Promise((resolve) => setTimeout(resolve, 50));
    time.advance(20_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(providers().list()).toEqual([]);
    expect(writes()).toBe(3);
  });

  it('logs another provider of the same data, and does not change it', async () => {
    addNamespace('user-system-alice');
    const spec = {
      kind: 'provider',
      dataType: 'secret',
      group: 'secret.infisical',
      version: 'v1',
      endpoint: 'x',
    };
    const conflict = providers().put({ metadata: { name: 'vault', namespace: 'user-system-alice' }, spec });
    providers().put({
      metadata: { name: 'calendar', namespace: 'user-system-alice' },
      spec: { ...spec, dataType: 'event' },
    });
    providers().put({ metadata: { name: 'vault', namespace: 'elsewhere' }, spec });
    const logged = open();
    await eventually(() => expect(provider('alice')).toBeDefined());
    expect(logged.filter(({ event }) => event === 'registration_conflict')).toEqual([
      expect.objectContaining({ level: 'warn', object: 'user-system-alice/vault' }),
    ]);
    expect(providers().get('user-system-alice', 'vault')).toBe(conflict);
  });

  it('creates one object for two replicas, and neither logs a failure', async () => {
    for (let user = 0; user < 20; user++) addNamespace(`user-system-u${user}`);
    const logs = [open(), open()];
    await eventually(() => expect(providers().list()).toHaveLength(20));
    await eventually(() => expect(server.of('syseventregistries').list()).toHaveLength(2));
    expect(logs.flat().filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('continues when the API server is back, and logs nothing of its messages', async () => {
    addNamespace('user-system-alice');
    server.failing = { status: 403, reason: 'Forbidden' };
    const time = new FixedMonotonicTime();
    const logged = open(time);
    await eventually(() => expect(logged.length).toBeGreaterThanOrEqual(3));
    server.failing = undefined;
    await eventually(() => {
      time.advance(1000);
      expect(provider('alice')).toBeDefined();
    });
    expect(JSON.stringify(logged)).not.toContain('canary');
  });

  it('writes ever more slowly to a server that drops fields', async () => {
    addNamespace('user-system-alice');
    const objects = providers();
    const put = objects.put.bind(objects);
    objects.put = (object) => put({ ...object, status: { state: 'draft' } });
    const time = new FixedMonotonicTime();
    open(time);
    const untilWritten = async (count: number) =>
      eventually(() => {
        time.advance(1);
        expect(writes()).toBe(count);
      });
    await untilWritten(3);
    // 1, 2, 4, … seconds apart, up to five minutes.
    for (let minute = 0; minute < 60; minute++) {
      time.advance(60_000);
      await socketsSettle(5);
    }
    expect(writes()).toBeLessThan(30);
    expect(writes()).toBeGreaterThan(5);
  });

  describe('that cannot be made', () => {
    const INVALID = {
      status: 422,
      reason: 'Invalid',
      // As the API server says it of the CRD of beclab/system-server.
      details: {
        causes: [
          {
            reason: 'FieldValueNotSupported',
            message: 'canary: Unsupported value',
            field: 'spec.opApis[0].name',
          },
        ],
      },
    };
    const refuse = (isRefused: (namespace: string) => boolean, refusal: object = INVALID) => {
      server.refusingWrites = ({ kind, metadata }) =>
        kind === 'ProviderRegistry' && isRefused(metadata.namespace ?? '')
          ? (refusal as typeof INVALID)
          : undefined;
    };
    const linesOf = (logged: readonly Logged[], event: string) =>
      logged.filter((line) => line.event === event);
    /** In steps that are shorter than any timeout, each as long as the answers of a real socket take. */
    const pass = async (time: FixedMonotonicTime, seconds: number) => {
      for (let rest = seconds; rest > 0; rest -= 2) {
        time.advance(Math.min(2, rest) * 1000);
        let seen: number;
        do {
          seen = server.requests.length;
          await new Promise((resolve) => setTimeout(resolve, 8));
        } while (server.requests.length > seen);
      }
    };
    /** Time passes slowly enough for real sockets on a machine that does other work; a rest of all would be 60 s. */
    const secondsUntil = async (time: FixedMonotonicTime, expectation: () => void) => {
      const sinceMs = time.nowMs();
      await eventually(() => {
        time.advance(50);
        expectation();
      }, 20_000);
      return (time.nowMs() - sinceMs) / 1000;
    };
    const fixedTime = () => {
      const time = new FixedMonotonicTime();
      server.time = time;
      return time;
    };
    const writesIn = async (work: Promise<void>) => {
      const before = writes();
      await work;
      return writes() - before;
    };

    it('for 2,000 users costs a write now and then and one line in five minutes, and readiness says so', async () => {
      for (let user = 0; user < 2000; user++) addNamespace(`user-system-u${user}`);
      refuse(() => true);
      const time = fixedTime();
      const logged = open(time);
      await pass(time, 60);
      expect(writes()).toBeLessThan(30);
      expect(await writesIn(pass(time, 600))).toBeLessThanOrEqual(130);
      const [registrar] = registrars;
      // A machine that does other work may let one run into its timeout, which is another reason.
      const lines = linesOf(logged, 'registration_failed').filter(({ reason }) => reason === 'Invalid');
      expect(lines).toHaveLength(3);
      expect(lines[0]).toMatchObject({
        level: 'warn',
        plural: 'providerregistries',
        object: expect.stringMatching(/^user-system-u\d+\/secret-provider$/),
        reason: 'Invalid',
        status: 422,
        field: 'spec.opApis[0].name',
      });
      expect(registrar?.failing()).toEqual(
        new Map([
          ['providerregistries', 2000],
          ['syseventregistries', 0],
        ]),
      );
      expect(registrar?.problems()).toEqual([
        'The registration fails for 2000 of 2000 providerregistries (422 Invalid): registration_failed in the log names one.',
      ]);
      expect(JSON.stringify(logged)).not.toContain('canary');
      refuse(() => false);
      time.advance(60_000);
      await eventually(() => expect(providers().list()).toHaveLength(2000), 20_000);
      await eventually(() => expect(linesOf(logged, 'registration_recovered')).toHaveLength(1));
      expect(registrar?.problems()).toEqual([]);
      expect(linesOf(logged, 'registration_reconciled').length).toBeLessThanOrEqual(60);
    }, 60_000);

    it('for some users delays no other user, neither earlier ones nor a new one', async () => {
      for (let user = 0; user < 40; user++) addNamespace(`user-system-u${user}`);
      refuse((namespace) => /u\d$/.test(namespace) && !/u\d\d/.test(namespace));
      const time = fixedTime();
      open(time);
      expect(await secondsUntil(time, () => expect(providers().list()).toHaveLength(30))).toBeLessThan(30);
      await pass(time, 120);
      addNamespace('user-system-dora');
      expect(await secondsUntil(time, () => expect(provider('dora')).toBeDefined())).toBeLessThan(30);
      expect(registrars[0]?.failing().get('providerregistries')).toBe(10);
    });

    it('for new users one after the other is tried for each of them within seconds, the latest first', async () => {
      for (let user = 0; user < 100; user++) addNamespace(`user-system-u${user}`);
      refuse((namespace) => namespace !== 'user-system-dora');
      const time = fixedTime();
      open(time);
      await pass(time, 120);
      addNamespace('user-system-dora');
      expect(await secondsUntil(time, () => expect(provider('dora')).toBeDefined())).toBeLessThan(30);
    });

    it('since a field is dropped silently is logged as such, and not written endlessly', async () => {
      for (let user = 0; user < 50; user++) addNamespace(`user-system-u${user}`);
      const objects = providers();
      const put = objects.put.bind(objects);
      objects.put = (object) => put({ ...object, status: {} });
      const time = fixedTime();
      const logged = open(time);
      await pass(time, 120);
      expect(linesOf(logged, 'registration_failed')).toEqual([
        expect.objectContaining({ reason: 'FieldsDropped', status: undefined }),
      ]);
      expect(linesOf(logged, 'registration_reconciled')).toHaveLength(2);
      expect(await writesIn(pass(time, 600))).toBeLessThan(60);
    });

    it('waits as long as Retry-After says', async () => {
      for (let user = 0; user < 10; user++) addNamespace(`user-system-u${user}`);
      refuse(() => true, { status: 429, reason: 'TooManyRequests', headers: { 'retry-after': '50' } });
      const time = fixedTime();
      open(time);
      await pass(time, 2);
      expect(await writesIn(pass(time, 40))).toBeLessThanOrEqual(8);
    });
  });

  it('logs another provider once, however often it changes, and reports it as a problem while it exists', async () => {
    addNamespace('user-system-alice');
    const spec = { kind: 'provider', dataType: 'secret', group: 'secret.infisical', version: 'v1' };
    const metadata = { name: 'vault', namespace: 'user-system-alice' };
    const logged = open();
    await eventually(() => expect(provider('alice')).toBeDefined());
    for (let change = 0; change < 6; change++) providers().put({ metadata, spec: { ...spec, change } });
    const isTold = () => registrars[0]?.problems();
    await eventually(() =>
      expect(isTold()).toEqual([
        'Another provider of the same data is registered for 1 user(s): registration_conflict in the log names it.',
      ]),
    );
    server.dropConnections();
    providers().put({ metadata, spec: { ...spec, change: 7 } });
    await eventually(() => expect(server.watches.size).toBe(3));
    expect(logged.filter(({ event }) => event === 'registration_conflict')).toHaveLength(1);
    providers().delete('user-system-alice', 'vault');
    await eventually(() => expect(isTold()).toEqual([]));
    providers().put({ metadata, spec });
    await eventually(() =>
      expect(logged.filter(({ event }) => event === 'registration_conflict')).toHaveLength(2),
    );
  });

  it('writes nothing once it is closed', async () => {
    addNamespace('user-system-alice');
    open();
    // One provider and two subscriptions: a write that is on its way could arrive after the end.
    await eventually(() => expect(writes()).toBe(3));
    await registrars[0]?.close();
    // What was sent before that may arrive a little later.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const before = writes();
    providers().delete('user-system-alice', 'secret-provider');
    addNamespace('user-system-late');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(writes()).toBe(before);
  });
});
