import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { ClusterService, PEERS, PROXY_REQUEST, TRUSTED_PROXY } from '../support/cluster-service';
import { httpCall, type Answer } from '../support/http-call';
import { USER_TOKEN_SECRET, userToken } from '../support/tokens';

type Headers = Readonly<Record<string, string>>;

const OPTIONAL_USER = { userToken: { secret: USER_TOKEN_SECRET, required: false } };
const LIST = 'ListSecret?workspace=otmoic';

/** What an envoy sidecar makes of an app's call: the pod's own token for the API server takes the place of Authorization. */
function throughSidecar({ authorization = '', ...headers }: Headers): Headers {
  return {
    ...headers,
    authorization: 'Bearer pods-own',
    ...(authorization !== '' && { 'temp-authorization': authorization }),
  };
}

/** What system-server's RBAC proxy of Olares 1.12 forwards: it moves one header, and strips none that an app may forge. */
function throughProxy(
  { authorization: _, 'temp-authorization': own, ...headers }: Headers,
  user = 'alice',
): Headers {
  return {
    ...headers,
    ...(own !== undefined && { authorization: own }),
    'x-bfl-user': user,
    'terminus-nonce': '6c8cf1a6-3a2b-4f0e-8d0b-1f0f7f9f2f7e',
    'x-forwarded-for': '10.0.0.7',
  };
}

describe('a call through the proxy of Olares 1.12', () => {
  let cluster: ClusterService;
  beforeAll(async () => (cluster = await ClusterService.start(OPTIONAL_USER, [], 'off')));
  afterAll(async () => cluster.close());
  beforeEach(() => cluster.store.calls.splice(0));

  const ours = (namespace = 'otmoiclp-alice'): string => `Bearer ${cluster.token(namespace)}`;
  const withSidecar = (more: Headers = {}, namespace?: string): Headers =>
    throughProxy(throughSidecar({ authorization: ours(namespace), ...more }));
  const withoutSidecar = (more: Headers = {}): Headers =>
    throughProxy({ authorization: 'Bearer pods-own', 'temp-authorization': ours(), ...more });
  const send = (headers: Headers, target = LIST, body: unknown = {}): Promise<Answer> =>
    httpCall(`${cluster.url}/${target}`, { headers, body, from: PEERS.alicesSystemServer });
  const refusedBy = (credential: string) => [401, 'UNAUTHENTICATED', credential];
  const outcomeOf = ({ status, body }: Answer) => [status, body.data.reason, body.data.credential];

  it.each(SECRET_OPERATIONS)('does %s for an app with a sidecar and for one without', async (operation) => {
    const value = /Create|Update/.test(operation) ? { value: 'v' } : {};
    const body = operation === 'ListSecret' ? {} : { name: 'k', ...value };
    for (const headers of [withSidecar(), withoutSidecar()]) {
      const answer = await send(headers, `${operation}?workspace=otmoic`, body);
      expect([200, 404, 409]).toContain(answer.status);
    }
    const call = `${operation.replace('Secret', '').toLowerCase()} ["alice","otmoic","prod"]`;
    expect(cluster.store.calls).toEqual([call, call]);
  });

  it('ignores the cookie that the proxy leaves, and checks the user’s token that it leaves', async () => {
    const [alice, bob] = await Promise.all(
      ['alice', 'bob'].map((user) => userToken(user, cluster.clock.nowMs())),
    );
    expect((await send(withSidecar({ cookie: `auth_token=${bob}` }))).status).toBe(200);
    expect((await send(withSidecar({ 'x-authorization': alice ?? '' }))).status).toBe(200);
    cluster.store.calls.splice(0);
    expect(outcomeOf(await send(withSidecar({ 'x-authorization': bob ?? '' })))).toEqual([
      403,
      'USER_MISMATCH',
      undefined,
    ]);
    expect(outcomeOf(await send(withSidecar({ 'x-authorization': 'x' })))).toEqual(
      refusedBy('X-Authorization'),
    );
    expect(cluster.store.calls).toEqual([]);
  });

  it.each<[string, () => Headers, readonly unknown[]]>([
    ['no token of ours', () => throughProxy(throughSidecar({})), refusedBy('X-Access-Token')],
    [
      'a user’s login alone',
      () => throughProxy(throughSidecar({ cookie: 'auth_token=x' })),
      refusedBy('X-Access-Token'),
    ],
    [
      'another app in X-Remote-User alone',
      () => throughProxy(throughSidecar({ 'x-remote-user': 'system:serviceaccount:otmoiclp-alice:default' })),
      refusedBy('X-Access-Token'),
    ],
    [
      'another app in X-Remote-User beside its own token',
      () => withSidecar({ 'x-remote-user': 'system:serviceaccount:otmoiclp-alice:default' }, 'reader-alice'),
      [403, 'NOT_GRANTED', undefined],
    ],
    [
      'the pod’s own token for the API server',
      () => throughProxy({ 'temp-authorization': 'Bearer pods-own' }),
      refusedBy('Authorization'),
    ],
    [
      'a token in Temp-Authorization, past the proxy',
      () => ({ 'temp-authorization': ours(), 'x-bfl-user': 'alice' }),
      refusedBy('X-Access-Token'),
    ],
    [
      'the pod of a shared namespace, which names no user',
      () => withSidecar({}, 'os-framework'),
      refusedBy('Authorization'),
    ],
  ])('refuses an app that sends %s', async (_, headers, outcome) => {
    expect(outcomeOf(await send(headers()))).toEqual(outcome);
    expect(cluster.store.calls).toEqual([]);
  });

  it('is the pod’s user’s, whomever X-BFL-USER names', async () => {
    const headers = throughProxy(throughSidecar({ authorization: ours() }), 'bob');
    expect((await send(headers)).status).toBe(200);
    expect(cluster.store.calls).toEqual(['list ["alice","otmoic","prod"]']);
  });

  it('is no system-server’s ProxyRequest, though a TCP proxy at its address forwards what an app wrote', async () => {
    for (const headers of [{ 'x-bfl-user': 'alice' }, { 'x-bfl-user': 'alice', authorization: ours() }]) {
      const answer = await send(headers, 'ListSecret', PROXY_REQUEST);
      expect([answer.status, answer.body.data.reason]).toEqual([401, 'UNAUTHENTICATED']);
    }
    expect(cluster.store.calls).toEqual([]);
  });

  it('proves no ServiceAccount by the address of a system-server, whatever account its pod has', async () => {
    const anotherProxy = '127.0.0.50';
    for (const ip of [PEERS.bobsSystemServer, anotherProxy]) {
      cluster.server.of('pods').put({
        metadata: { name: `at-${ip}`, namespace: TRUSTED_PROXY.namespace },
        spec: { serviceAccountName: TRUSTED_PROXY.name },
        status: { phase: 'Running', podIPs: [{ ip }] },
      });
    }
    const provenAt = async (address: string) =>
      cluster.service.adapters.peerVerifier?.trustedServiceAccountOf({ address, bearer: undefined });
    while ((await provenAt(anotherProxy)) === undefined) await new Promise((next) => setImmediate(next));
    expect(await provenAt(PEERS.bobsSystemServer)).toBeUndefined();
  });
});

describe('with SYSTEM_SERVER_PROOF=address, for Olares up to 1.12.0', () => {
  it('takes a ProxyRequest from the address of the user’s system-server', async () => {
    const cluster = await ClusterService.start(OPTIONAL_USER);
    const answer = await httpCall(`${cluster.url}/ListSecret`, {
      headers: { 'x-bfl-user': 'alice' },
      body: PROXY_REQUEST,
      from: PEERS.alicesSystemServer,
    });
    expect(answer.status).toBe(200);
    await cluster.close();
  });
});
