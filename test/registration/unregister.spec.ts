import { accessObjects } from '../../src/registration/access-roles';
import { unregister } from '../../src/registration/unregister';
import { providerRegistry, sysEventRegistries } from '../../src/registration/registered-objects';
import { apiOf } from '../kubernetes/informer-deps';
import { eventually } from '../support/eventually';
import type { KubeObject } from '../support/fake-api-server/fake-objects';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const ENDPOINT = { service: 'olares-secret-provider', namespace: 'os-secrets', port: 8080 };

describe('the uninstall of the registrations', () => {
  let server: FakeApiServer;
  let time: FixedMonotonicTime;
  beforeEach(async () => {
    server = await FakeApiServer.start();
    time = new FixedMonotonicTime();
  });
  afterEach(() => server.stop());

  /** Lets time pass until it has ended. */
  async function unregistered(): Promise<number> {
    let ended = false;
    const result = unregister(apiOf(server, time), time, ENDPOINT).finally(() => (ended = true));
    result.catch(() => undefined);
    await eventually(() => {
      time.advance(1000);
      expect(ended).toBe(true);
    });
    return result;
  }
  const register = (user: string) =>
    server.of('providerregistries').put({ ...providerRegistry(ENDPOINT, `user-system-${user}`) });

  it('removes what this service registered, and nothing else', async () => {
    for (let user = 0; user < 600; user++) register(`u${user}`);
    for (const manifest of sysEventRegistries(ENDPOINT)) server.of('syseventregistries').put({ ...manifest });
    const others = ['providerregistries', 'syseventregistries'] as const;
    for (const kind of others)
      server.of(kind).put({ metadata: { name: 'theirs', namespace: 'user-system-u1', labels: { a: 'b' } } });
    expect(await unregistered()).toBe(602);
    for (const kind of others)
      expect(
        server
          .of(kind)
          .list()
          .map(({ metadata }) => metadata.name),
      ).toEqual(['theirs']);
  });

  it('leaves alone what another installation registered, and asks for nothing that it has no right to', async () => {
    const other = { ...ENDPOINT, namespace: 'os-protected' };
    const grants = new Set(['ListSecret?workspace=notes']);
    const notes = { user: 'alice', app: 'notes', namespace: 'notes-alice', grants };
    const [access] = accessObjects(notes, { endpoint: other, providerName: 'secret-provider' });
    server.of('providerregistries').put({ ...providerRegistry(other, 'user-system-alice') });
    for (const manifest of sysEventRegistries(other)) server.of('syseventregistries').put({ ...manifest });
    server.of('clusterroles').put({ ...access?.role } as KubeObject);
    server.of('clusterrolebindings').put({ ...access?.binding } as KubeObject);
    for (const manifest of sysEventRegistries(ENDPOINT)) server.of('syseventregistries').put({ ...manifest });
    expect(await unregistered()).toBe(2);
    const kinds = [
      'providerregistries',
      'syseventregistries',
      'clusterroles',
      'clusterrolebindings',
    ] as const;
    expect(kinds.map((kind) => server.of(kind).list().length)).toEqual([1, 2, 1, 1]);
    const lists = server.requests.filter(({ path }) => path.includes('syseventregistries'));
    expect(lists.filter(({ path }) => !path.includes(`/namespaces/${ENDPOINT.namespace}/`))).toEqual([]);
  });

  it('runs again for objects that a terminating replica has created meanwhile', async () => {
    register('alice');
    const objects = server.of('providerregistries');
    const remove = objects.delete.bind(objects);
    let straggles = true;
    objects.delete = (namespace, name) => {
      const removed = remove(namespace, name);
      if (straggles) register('alice');
      straggles = false;
      return removed;
    };
    expect(await unregistered()).toBe(2);
    expect(objects.list()).toEqual([]);
  });

  it('runs once more where the first round found nothing', async () => {
    const listsOf = (plural: string) => server.requests.filter(({ path }) => path.endsWith(plural)).length;
    const result = unregister(apiOf(server, time), time, ENDPOINT);
    await eventually(() => expect(listsOf('syseventregistries')).toBe(1));
    register('late');
    await new Promise((resolve) => setTimeout(resolve, 20));
    let ended = false;
    void result.finally(() => (ended = true));
    await eventually(() => {
      time.advance(1000);
      expect(ended).toBe(true);
    });
    expect(await result).toBe(1);
  });

  it('removes the roles and bindings of apps that this service made, and no other of its label or of its names', async () => {
    const [objects] = accessObjects(
      {
        user: 'alice',
        app: 'notes',
        namespace: 'notes-alice',
        grants: new Set(['ListSecret?workspace=notes']),
      },
      { endpoint: ENDPOINT, providerName: 'secret-provider' },
    );
    const { labels, annotations } = objects?.binding.metadata ?? {};
    const foreign = [
      { name: 'cluster-admin', labels, annotations },
      { name: 'osp:alice:labelled', labels },
      { name: 'osp:alice:annotated', annotations },
    ];
    for (const kind of ['clusterroles', 'clusterrolebindings'] as const)
      for (const metadata of foreign) server.of(kind).put({ metadata } as KubeObject);
    server.of('clusterroles').put({ ...objects?.role } as KubeObject);
    server.of('clusterrolebindings').put({ ...objects?.binding } as KubeObject);
    expect(await unregistered()).toBe(2);
    for (const kind of ['clusterroles', 'clusterrolebindings'] as const)
      expect(server.of(kind).list()).toHaveLength(3);
  });

  it('finds nothing where the kinds are not installed', async () => {
    server.failing = { status: 404, reason: 'NotFound' };
    expect(await unregistered()).toBe(0);
  });

  it('fails where it lacks the rights, with a word and a status only', async () => {
    server.failing = { status: 403, reason: 'Forbidden' };
    await expect(unregistered()).rejects.toMatchObject({ message: '403 Forbidden' });
  });

  it('gives up against a service that was never stopped', async () => {
    register('alice');
    const objects = server.of('providerregistries');
    const remove = objects.delete.bind(objects);
    objects.delete = (namespace, name) => {
      const removed = remove(namespace, name);
      register('alice');
      return removed;
    };
    await expect(unregistered()).rejects.toMatchObject({ reason: 'StillThere' });
  });
});
