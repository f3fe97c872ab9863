import { SECRET_OPERATIONS, type SecretOperation } from '../../src/authz/grant';
import type { KubernetesGrantSettings } from '../../src/config/grant-settings';
import type { StaticGrantSetting } from '../../src/config/olares-settings';
import { ClusterService, PEERS } from '../support/cluster-service';
import { permissionOf } from '../support/application-permission';
import { eventually } from '../support/eventually';
import { OTMOICLP } from '../support/example-apps';
import { httpCall, type Answer } from '../support/http-call';
import { accessToken, USER_TOKEN_SECRET, userToken } from '../support/tokens';

type Headers = Readonly<Record<string, string>>;

const FRONTEND: StaticGrantSetting = {
  account: { namespace: 'user-space-<user>', name: 'system-frontend' },
  userFrom: 'namespace',
  userTokenRequired: true,
  workspaces: ['settings', 'dashboard'],
  operations: SECRET_OPERATIONS,
};
const BACKEND: StaticGrantSetting = {
  ...FRONTEND,
  account: { namespace: 'user-system-<user>', name: 'user-backend' },
  userTokenRequired: false,
  workspaces: ['settings'],
};
const INTEGRATION: StaticGrantSetting = {
  account: { namespace: 'os-protected', name: 'infisical-sa' },
  userFrom: 'X-BFL-USER',
  userTokenRequired: false,
  responseStyle: 'sidecar',
  workspaces: ['settings'],
  operations: ['RetrieveSecret', 'ListSecret'],
};
const GRANTS: KubernetesGrantSettings = {
  kind: 'kubernetes',
  feeds: ['application-permissions'],
  environment: {},
  maxAgeMs: 600_000,
  audience: 'a',
  trustedServiceAccounts: [],
  systemServerProof: 'off',
  systemEventServiceAccounts: [],
  settingsServiceAccounts: [],
  olares: { release: 'since-1.12.1', leftovers: 'deny' },
  staticGrants: [FRONTEND, BACKEND, INTEGRATION],
};

/** Where pods are, by what they are. */
const AT = {
  frontend: '127.0.1.1',
  bobsFrontend: '127.0.1.2',
  backend: '127.0.1.3',
  integration: '127.0.1.4',
  integrationsNeighbour: '127.0.1.5',
  app: '127.0.1.6',
  sharedApp: '127.0.1.7',
  appNamedLikeIt: '127.0.1.8',
} as const;

const PODS: readonly (readonly [string, string, string])[] = [
  [AT.bobsFrontend, 'user-space-bob', 'system-frontend'],
  [AT.backend, 'user-system-alice', 'user-backend'],
  [PEERS.alicesSystemServer, 'user-system-alice', 'user-backend'],
  [AT.integrationsNeighbour, 'os-protected', 'default'],
  [AT.integration, 'os-protected', 'infisical-sa'],
  [AT.app, 'otmoiclp-alice', 'default'],
  [AT.sharedApp, 'notes-shared', 'infisical-sa'],
  [AT.appNamedLikeIt, 'otmoiclp-alice', 'system-frontend'],
  [AT.frontend, 'user-space-alice', 'system-frontend'],
];

describe('the system’s own callers, whom STATIC_GRANTS names', () => {
  let cluster: ClusterService;
  let alice: string;
  let bob: string;
  beforeAll(async () => {
    const settings = { grants: GRANTS, userToken: { secret: USER_TOKEN_SECRET, required: false } };
    cluster = await ClusterService.start(settings, [], 'off');
    const { server } = cluster;
    for (const [name, owner] of [
      ['user-space-bob', 'bob'],
      ['user-system-bob', 'bob'],
      ['user-space-carol', 'bob'],
      ['os-protected', undefined],
      ['system-frontend-alice', 'alice'],
    ] as const) {
      server.of('namespaces').put({
        metadata: { name, ...(owner !== undefined && { labels: { 'bytetrade.io/ns-owner': owner } }) },
      });
    }
    for (const [ip, namespace, serviceAccountName] of PODS) {
      server.of('pods').put({
        metadata: { name: `p-${ip}`, namespace },
        spec: { serviceAccountName },
        status: { phase: 'Running', podIPs: [{ ip }] },
      });
    }
    [alice, bob] = [
      await userToken('alice', cluster.clock.nowMs()),
      await userToken('bob', cluster.clock.nowMs()),
    ];
    const { peerVerifier, serviceAccounts } = cluster.service.adapters;
    for (const address of [AT.frontend, AT.backend, AT.integration]) {
      while ((await peerVerifier?.staticAccountOf({ address, bearer: undefined })) === undefined)
        await new Promise((next) => setImmediate(next));
    }
    await eventually(() => expect(serviceAccounts?.userOf('system-frontend-alice')).toBe('alice'));
  });
  afterAll(async () => cluster.close());
  beforeEach(() => cluster.store.calls.splice(0));

  const call = (
    from: string,
    headers: Headers,
    operation: SecretOperation = 'ListSecret',
    workspace = 'settings',
  ): Promise<Answer> => {
    const value = /Create|Update/.test(operation) ? { value: 'v' } : {};
    const body = operation === 'ListSecret' ? {} : { name: 'integration-account', ...value };
    return httpCall(`${cluster.url}/${operation}?workspace=${workspace}`, { headers, body, from });
  };
  const outcomeOf = ({ status, body }: Answer) => [status, body.data.reason ?? body.code];
  const bearer = (namespace: string, name: string, change = {}): Headers => ({
    authorization: `Bearer ${cluster.token(namespace, { name, ...change })}`,
  });
  const user = (token = alice): Headers => ({ 'x-authorization': token });

  it.each(SECRET_OPERATIONS)(
    'do %s by the address of the frontend and the user’s token',
    async (operation) => {
      const answer = await call(AT.frontend, user(), operation);
      expect([200, 404, 409]).toContain(answer.status);
      expect(cluster.store.calls).toEqual([
        `${operation.replace('Secret', '').toLowerCase()} ["alice","settings","prod"]`,
      ]);
    },
  );

  it('may use each workspace that is named, and no other', async () => {
    expect((await call(AT.frontend, user(), 'ListSecret', 'dashboard')).status).toBe(200);
    expect(outcomeOf(await call(AT.frontend, user(), 'ListSecret', 'otmoic'))).toEqual([403, 'NOT_GRANTED']);
    expect(outcomeOf(await call(AT.backend, {}, 'ListSecret', 'dashboard'))).toEqual([403, 'NOT_GRANTED']);
  });

  it('prove themselves by a token from anywhere', async () => {
    const headers = { ...user(), ...bearer('user-space-alice', 'system-frontend') };
    expect((await call(PEERS.nobody, headers)).status).toBe(200);
    expect((await call(PEERS.nobody, bearer('user-system-alice', 'user-backend'))).status).toBe(200);
  });

  it('need the user’s token unless their entry says otherwise, and it must be of the user of their namespace', async () => {
    expect(outcomeOf(await call(AT.frontend, {}))).toEqual([401, 'UNAUTHENTICATED']);
    expect(outcomeOf(await call(AT.frontend, { cookie: `auth_token=${alice}` }))).toEqual([
      401,
      'UNAUTHENTICATED',
    ]);
    expect(outcomeOf(await call(AT.frontend, user(bob)))).toEqual([403, 'USER_MISMATCH']);
    expect(outcomeOf(await call(AT.backend, user(bob)))).toEqual([403, 'USER_MISMATCH']);
    expect(outcomeOf(await call(AT.backend, user('x')))).toEqual([401, 'UNAUTHENTICATED']);
    expect(cluster.store.calls).toEqual([]);
    expect((await call(AT.backend, {})).status).toBe(200);
    expect((await call(AT.bobsFrontend, user(bob))).status).toBe(200);
    expect(cluster.store.calls).toEqual([
      'list ["alice","settings","prod"]',
      'list ["bob","settings","prod"]',
    ]);
  });

  it('are the user’s of their namespace, whomever X-BFL-USER names', async () => {
    expect((await call(AT.backend, { 'x-bfl-user': 'bob' })).status).toBe(200);
    expect(cluster.store.calls).toEqual(['list ["alice","settings","prod"]']);
  });

  it('read as the integration server does, for the user whom X-BFL-USER names, with code 0', async () => {
    const named = { 'x-bfl-user': 'bob' };
    const listed = await call(AT.integration, named);
    expect([listed.status, listed.body]).toEqual([200, { code: 0, message: '', data: [] }]);
    const missing = await call(AT.integration, named, 'RetrieveSecret');
    expect([missing.status, missing.body.code]).toEqual([200, 404]);
    expect(cluster.store.calls).toEqual([
      'list ["bob","settings","prod"]',
      'retrieve ["bob","settings","prod"]',
    ]);
    for (const operation of ['CreateSecret', 'UpdateSecret', 'DeleteSecret'] as const) {
      const refused = await call(AT.integration, named, operation);
      expect([refused.status, refused.body.code]).toEqual([200, 403]);
    }
    expect((await call(AT.frontend, user())).body.code).toBe(200);
  });

  it.each<[string, string, () => Headers]>([
    ['the integration server without a user', AT.integration, () => ({})],
    ['the integration server for a user who is not there', AT.integration, () => ({ 'x-bfl-user': 'dave' })],
    ['the integration server for two users', AT.integration, () => ({ 'x-bfl-user': 'alice, bob' })],
    [
      'the integration server that forwards what somebody wrote',
      AT.integration,
      () => ({ 'x-bfl-user': 'alice', 'x-forwarded-for': '10.0.0.7' }),
    ],
    ['another pod of its namespace', AT.integrationsNeighbour, () => ({ 'x-bfl-user': 'alice' })],
    ['a pod of a shared chart with the account’s name', AT.sharedApp, () => ({ 'x-bfl-user': 'alice' })],
    [
      'the token of a shared chart with the account’s name',
      AT.sharedApp,
      () => ({ 'x-bfl-user': 'alice', ...bearer('notes-shared', 'infisical-sa') }),
    ],
    ['an app with the user’s token', AT.app, () => user()],
    ['an app with every header of a proxy', AT.app, () => ({ ...user(), 'x-bfl-user': 'alice',
        'x-remote-user': 'system:serviceaccount:user-space-alice:system-frontend' })],
    ['an app whose ServiceAccount has the name', AT.appNamedLikeIt, () => user()],
    ['system-server’s pod, though it has the account', PEERS.alicesSystemServer, () => user()],
    ['the token of another account of the namespace', PEERS.nobody, () => ({ ...user(), ...bearer('user-space-alice', 'default') })],
    ['a token for another audience', PEERS.nobody, () => ({ ...user(), ...bearer('user-space-alice', 'system-frontend', { audience: 'kubernetes' }) })],
    ['the token of a namespace that is labelled another user’s', PEERS.nobody, () => ({ ...user(bob), ...bearer('user-space-carol', 'system-frontend') })],
    ['a token of nobody, from the frontend', AT.frontend, () => ({ ...user(), authorization: 'Bearer x.y.z' })],
  ])('are not: %s', async (_, from, headers) => {
    const answer = await call(from, headers());
    expect(outcomeOf(answer)).toEqual([401, 'UNAUTHENTICATED']);
    expect(cluster.store.calls).toEqual([]);
  }); // prettier-ignore

  it('are an app where the frontend passes on what an app sent', async () => {
    const access = await accessToken('otmoiclp', 'alice', OTMOICLP.ops, cluster.clock.nowMs());
    const pod = bearer('otmoiclp-alice', 'default');
    for (const app of [{ 'x-access-token': access }, pod]) {
      const answer = await call(AT.frontend, { ...user(), ...app });
      expect([answer.status, answer.body.data.app]).toEqual([403, 'otmoiclp']);
    }
    expect(cluster.store.calls).toEqual([]);
  });

  it('lend nothing to an app whose name is like theirs', async () => {
    const answer = await call(PEERS.nobody, bearer('system-frontend-alice', 'default'));
    expect(outcomeOf(answer)).toEqual([403, 'NOT_GRANTED']);
  });

  it('are logged by their account and user, and readiness names the source of their grants', async () => {
    await call(AT.backend, {});
    expect(cluster.service.logLines()).toContainEqual(
      expect.objectContaining({ app: 'user-system-alice:user-backend', user: 'alice', code: 200 }),
    );
  });
});

describe('through system-server’s RBAC proxy, where its address is believed', () => {
  let cluster: ClusterService;
  beforeAll(async () => {
    const statics = [{ ...FRONTEND, ownTokenSuffices: true }, BACKEND, INTEGRATION];
    const grants = { ...GRANTS, systemServerProof: 'address', staticGrants: statics } as const;
    const userTokens = { userToken: { secret: USER_TOKEN_SECRET, required: false } };
    cluster = await ClusterService.start({ grants, ...userTokens }, [], 'off');
    cluster.server.of('namespaces').put({
      metadata: { name: 'user-space-alice', labels: { 'bytetrade.io/ns-owner': 'alice' } },
    });
    const { serviceAccounts } = cluster.service.adapters;
    await eventually(() => expect(serviceAccounts?.userOf('user-space-alice')).toBe('alice'));
  });
  afterAll(async () => cluster.close());
  beforeEach(() => cluster.store.calls.splice(0));

  const through = (headers: Headers): Promise<Answer> =>
    httpCall(`${cluster.url}/ListSecret?workspace=settings`, {
      headers: { 'x-bfl-user': 'alice', 'terminus-nonce': 'a1b2', ...headers },
      body: {},
      from: PEERS.alicesSystemServer,
    });
  const frontend = 'system:serviceaccount:user-space-alice:system-frontend';

  it.each<[string, Headers]>([
    ['no credential', {}],
    ['no credential, for another user', { 'x-bfl-user': 'bob' }],
    ['the frontend’s name in X-Remote-User', { 'x-remote-user': frontend }],
    ['a token under the header that the proxy takes away', { 'temp-authorization': 'Bearer x.y.z' }],
  ])('nobody is one of them with %s', async (_, headers) => {
    const { status, body } = await through(headers);
    expect([status, body.data.reason]).toEqual([401, 'UNAUTHENTICATED']);
    expect(cluster.store.calls).toEqual([]);
  });

  it('an app that a role lets through to the URL is that app, and refused', async () => {
    const authorization = `Bearer ${cluster.token('otmoiclp-alice')}`;
    const { status, body } = await through({ authorization, 'x-remote-user': frontend });
    expect([status, body.data.app, body.data.reason]).toEqual([403, 'otmoiclp', 'NOT_GRANTED']);
    expect(cluster.store.calls).toEqual([]);
  });

  it.each([
    ['user-system-alice', 'user-backend'],
    ['user-space-alice', 'system-frontend'],
  ])('%s:%s is believed by its own token, without the user’s', async (namespace, name) => {
    const authorization = `Bearer ${cluster.token(namespace, { name })}`;
    expect((await through({ authorization })).status).toBe(200);
    expect(cluster.store.calls).toEqual(['list ["alice","settings","prod"]']);
  });

  it('the address of a frontend still needs the user’s token beside it', async () => {
    const from = '127.0.1.1';
    cluster.server.of('pods').put({
      metadata: { name: 'frontend', namespace: 'user-space-alice' },
      spec: { serviceAccountName: 'system-frontend' },
      status: { phase: 'Running', podIPs: [{ ip: from }] },
    });
    const list = async (headers: Headers) =>
      (await httpCall(`${cluster.url}/ListSecret?workspace=settings`, { headers, body: {}, from })).status;
    const token = await userToken('alice', cluster.clock.nowMs());
    await eventually(async () => expect(await list({ 'x-authorization': token })).toBe(200));
    expect(await list({})).toBe(401);
  });
});

describe('with WORKSPACE_SHARING=deny', () => {
  it('the workspaces of the system’s callers are theirs, whatever an app states', async () => {
    const settings = { grants: GRANTS, workspaceSharing: 'deny' } as const;
    const userTokens = { userToken: { secret: USER_TOKEN_SECRET, required: false } };
    const cluster = await ClusterService.start({ ...settings, ...userTokens }, [], 'off');
    const ops = ['ListSecret?workspace=settings', 'ListSecret?workspace=own'];
    const claims = { app: 'claims', user: 'alice', appKey: 'k-9', appSecret: 's-9', ops };
    cluster.server.of('applicationpermissions').put(permissionOf(claims, 'claims'));
    const access = await accessToken('claims', 'alice', ops, cluster.clock.nowMs());
    const list = async (workspace: string, headers: Headers) =>
      (await httpCall(`${cluster.url}/ListSecret?workspace=${workspace}`, { headers, body: {} })).status;
    while ((await list('own', { 'x-access-token': access })) !== 200)
      await new Promise((next) => setImmediate(next));
    expect(await list('settings', { 'x-access-token': access })).toBe(403);
    const backend = `Bearer ${cluster.token('user-system-alice', { name: 'user-backend' })}`;
    expect(await list('settings', { authorization: backend })).toBe(200);
    await cluster.close();
  });
});

describe('without STATIC_GRANTS', () => {
  it('the system’s callers get nothing', async () => {
    const cluster = await ClusterService.start({ grants: { ...GRANTS, staticGrants: [] } }, [], 'off');
    const headers = { 'x-authorization': await userToken('alice', cluster.clock.nowMs()) };
    const token = `Bearer ${cluster.token('user-space-alice', { name: 'system-frontend' })}`;
    const answer = await httpCall(`${cluster.url}/ListSecret?workspace=settings`, {
      headers: { ...headers, authorization: token },
      body: {},
    });
    expect(answer.status).toBe(401);
    await cluster.close();
  });
});
