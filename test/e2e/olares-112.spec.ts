import { OlaresCluster } from '../support/olares-cluster';
import {
  approvalMap,
  installApp,
  manifestMap,
  manifestText,
  namespaceObject,
} from '../support/manifest-config-map';
import { userToken } from '../support/tokens';

const OPS = ['CreateSecret?workspace=notes', 'RetrieveSecret?workspace=notes'];
const NOTES = { app: 'notes', user: 'alice', ops: OPS };
const URLS = OPS.map((op) => `/${op}`);
const [CREATE = '', RETRIEVE = ''] = OPS;
const from = 'notes-alice';

describe('an app of Olares 1.12 with its manifest in a ConfigMap', () => {
  let olares: OlaresCluster;
  beforeEach(async () => {
    olares = await OlaresCluster.start();
    for (const user of ['alice', 'bob'])
      olares.server.of('namespaces').put(namespaceObject(`user-system-${user}`, user));
    installApp(olares.server, NOTES);
    await olares.eventually(() => expect(olares.urlsOf('alice', 'notes')).toEqual(URLS));
  });
  afterEach(() => olares.close());

  const roles = () => olares.server.of('clusterroles');
  const bindings = () => olares.server.of('clusterrolebindings');
  const change = (ops: readonly string[]) =>
    olares.server.of('configmaps').put(manifestMap(from, manifestText('notes', ops)));
  const refusedByProxy = { status: 403, body: { by: 'the proxy' } };
  const refusedByService = { status: 403, body: { data: { reason: 'NOT_GRANTED' } } };

  it.each([
    ['with a sidecar', true, 'secret-provider.user-system-alice'],
    ['without a sidecar', false, 'secret-provider.user-system-alice'],
    ['with a sidecar, by the name of our own Service', true, 'vault.os-protected'],
    ['without a sidecar, by the name of our own Service and its port', false, 'vault.os-protected:8080'],
  ])('creates and reads a secret through the proxy, %s', async (_how, hasSidecar, host) => {
    const call = { from, hasSidecar, host };
    await olares.withinASecond(() => expect(bindings().list()).toHaveLength(2));
    const secret = { name: 'token', value: 'correct horse' };
    expect((await olares.through(CREATE, { ...call, body: secret })).body).toMatchObject({ code: 200 });
    const read = await olares.through(RETRIEVE, { ...call, body: { name: 'token' } });
    expect([read.status, read.body.data]).toEqual([200, { ...secret, env: 'prod' }]);
    expect(olares.proxy.forwarded.at(-1)).toMatchObject({ 'x-bfl-user': 'alice' });
    expect(olares.proxy.forwarded.at(-1)).not.toHaveProperty('temp-authorization');
  });

  it.each([
    ['an operation that is not granted', 'DeleteSecret?workspace=notes'],
    ['a workspace that is not granted', 'RetrieveSecret?workspace=notes-2'],
    ["another app's workspace", 'RetrieveSecret?workspace=mail'],
  ])('is refused %s at the proxy, and at the service when it calls past it', async (_what, target) => {
    installApp(olares.server, { app: 'mail', user: 'alice', ops: ['RetrieveSecret?workspace=mail'] });
    await olares.withinASecond(() => expect(olares.urlsOf('alice', 'mail')).toBeDefined());
    const call = { from, body: { name: 'k' } };
    expect(await olares.through(target, call)).toMatchObject(refusedByProxy);
    expect(olares.proxy.forwarded).toEqual([]);
    expect(await olares.past(target, call)).toMatchObject(refusedByService);
    expect(olares.store.calls).toEqual([]);
  });

  it.each([
    'RetrieveSecret?workspace=not%65s',
    'RetrieveSecret?workspace=notes&workspace=mail',
    'RetrieveSecret?a=b&workspace=notes',
    'RetrieveSecret?workspace=notes&',
    'RetrieveSecret?workspace=',
    'RetrieveSecret',
    '/RetrieveSecret?workspace=notes',
    'RetrieveSecret/?workspace=notes',
  ])('is refused %s by the proxy, which compares the URL as text', async (target) => {
    expect(await olares.through(target, { from, body: { name: 'k' } })).toMatchObject(refusedByProxy);
  });

  it('is refused by the proxy within a second of the end of a grant, and by the service at once', async () => {
    const create = { from, body: { name: 'k', value: 'v' } };
    const retrieve = { from, body: { name: 'k' } };
    expect((await olares.through(CREATE, create)).status).toBe(200);
    change([CREATE]);
    await olares.withinASecond(() => expect(olares.urlsOf('alice', 'notes')).toEqual([`/${CREATE}`]));
    expect(await olares.through(RETRIEVE, retrieve)).toMatchObject(refusedByProxy);
    expect(await olares.past(RETRIEVE, retrieve)).toMatchObject(refusedByService);
    change([]);
    await olares.withinASecond(() => expect([roles().list(), bindings().list()]).toEqual([[], []]));
    expect(await olares.through(CREATE, create)).toMatchObject(refusedByProxy);
  });

  it('loses its roles when it is uninstalled, and when its user is removed', async () => {
    installApp(olares.server, { app: 'mail', user: 'alice', ops: ['RetrieveSecret?workspace=mail'] });
    await olares.withinASecond(() => expect(olares.urlsOf('alice', 'mail')).toBeDefined());
    olares.server.of('configmaps').delete(from, 'olares-manifest');
    olares.server.of('namespaces').delete(undefined, from);
    await olares.withinASecond(() => expect(roles().list()).toHaveLength(2));
    olares.server.of('configmaps').delete('mail-alice', 'olares-manifest');
    for (const gone of ['mail-alice', 'user-system-alice'])
      olares.server.of('namespaces').delete(undefined, gone);
    await olares.withinASecond(() => expect([roles().list(), bindings().list()]).toEqual([[], []]));
  });

  it('reaches a workspace that is not its own once that is approved, and no sooner', async () => {
    const shared = 'RetrieveSecret?workspace=shared';
    const call = { from, body: { name: 'k' } };
    change([...OPS, shared]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await olares.through(shared, call)).toMatchObject(refusedByProxy);
    expect(await olares.past(shared, call)).toMatchObject(refusedByService);
    const approval = { user: 'alice', app: 'notes', workspace: 'shared', operations: 'RetrieveSecret' };
    olares.server.of('configmaps').put(approvalMap(approval));
    await olares.withinASecond(() => expect(olares.urlsOf('alice', 'notes')).toContain(`/${shared}`));
    expect(await olares.through(shared, call)).toMatchObject({
      status: 404,
      body: { data: { reason: 'SECRET_NOT_FOUND' } },
    });
  });

  it('gains nothing by a role that somebody widened: it is repaired, and the service refuses meanwhile', async () => {
    const right = roles().get(undefined, 'osp:alice:notes');
    const wide = { ...right, metadata: right?.metadata ?? { name: '' } };
    const rules = [{ nonResourceURLs: ['/*'], verbs: ['*'] }];
    const forbidden = 'DeleteSecret?workspace=notes';
    const call = { from, body: { name: 'k' } };
    olares.server.refusingWrites = () => ({ status: 500, reason: 'InternalError' });
    roles().put({ ...wide, rules });
    expect(await olares.through(forbidden, call)).toMatchObject(refusedByService);
    olares.server.refusingWrites = () => undefined;
    await olares.eventually(() => expect(olares.urlsOf('alice', 'notes')).toEqual(URLS));
    expect(await olares.through(forbidden, call)).toMatchObject(refusedByProxy);
  });

  it('gets its role back where somebody removed it', async () => {
    for (const objects of [roles(), bindings()]) objects.delete(undefined, 'osp:alice:notes');
    await olares.eventually(() => expect(olares.urlsOf('alice', 'notes')).toEqual(URLS));
    expect((await olares.through(RETRIEVE, { from, body: { name: 'k' } })).status).toBe(404);
  });

  it("leaves Olares' own vault its roles, and those of others that have a name of ours", async () => {
    const theirs = {
      metadata: {
        name: 'secret-vault',
        annotations: {
          'provider-registry-ref': 'user-system-alice/secret',
          'provider-service-ref': 'infisical-service.os-protected:8080',
        },
      },
      rules: [{ nonResourceURLs: ['/RetrieveSecret?workspace=settings'], verbs: ['create'] }],
    };
    const own = roles().put(theirs);
    const named = roles().put({ ...theirs, metadata: { ...theirs.metadata, name: 'osp:alice:mail' } });
    installApp(olares.server, { app: 'mail', user: 'alice', ops: ['RetrieveSecret?workspace=mail'] });
    await olares.withinASecond(() => expect(bindings().get(undefined, 'osp:alice:mail:host')).toBeDefined());
    change([]);
    await olares.withinASecond(() => expect(olares.urlsOf('alice', 'notes')).toBeUndefined());
    expect(roles().get(undefined, 'secret-vault')).toBe(own);
    expect(roles().get(undefined, 'osp:alice:mail')).toBe(named);
    expect(bindings().get(undefined, 'osp:alice:mail')).toBeUndefined();
  });

  it('is judged as its user where it sends a token of the user that is valid, and so refused', async () => {
    const token = await userToken('alice', olares.clock.nowMs());
    for (const headers of [{ 'x-authorization': token }, { cookie: `auth_token=${token}` }])
      expect(await olares.through(RETRIEVE, { from, headers })).toMatchObject(refusedByProxy);
    const invalid = { 'x-authorization': 'x', cookie: 'auth_token=y' };
    const { status, body } = await olares.through(RETRIEVE, { from, headers: invalid, body: { name: 'k' } });
    expect([status, body.data.reason]).toEqual([401, 'UNAUTHENTICATED']);
  });

  it('is itself, whatever X-Remote-User it writes, which the proxy leaves', async () => {
    installApp(olares.server, { app: 'mail', user: 'alice', ops: ['RetrieveSecret?workspace=notes-mail'] });
    const headers = { 'x-remote-user': 'system:serviceaccount:mail-alice:default' };
    const body = { name: 'k', value: 'v' };
    expect((await olares.through(CREATE, { from, headers, body })).status).toBe(200);
    expect(olares.proxy.forwarded.at(-1)).toMatchObject(headers);
    expect(olares.store.calls).toEqual(['create ["alice","notes","prod"]']);
  });

  it("is refused at the system-server of another user, and another user's app at this one", async () => {
    installApp(olares.server, { ...NOTES, user: 'bob' });
    await olares.withinASecond(() => expect(olares.urlsOf('bob', 'notes')).toEqual(URLS));
    const body = { name: 'k' };
    expect(await olares.through(RETRIEVE, { from: 'notes-bob', body })).toMatchObject(refusedByProxy);
    expect(
      await olares.through(RETRIEVE, { from: 'notes-bob', host: 'secret-provider.user-system-bob', body }),
    ).toMatchObject({ status: 404 });
    expect(await olares.through(RETRIEVE, { from: 'elsewhere', body })).toMatchObject(refusedByProxy);
  });
});
