import { connect } from 'node:net';
import { ClusterService, PEERS } from '../support/cluster-service';
import { OTMOICLP } from '../support/example-apps';
import { eventually } from '../support/eventually';
import { httpCall, type Answer } from '../support/http-call';
import { accessToken, userToken } from '../support/tokens';

const FRONTEND = { namespace: 'user-space-<user>', name: 'system-frontend' };
/** An account as which Olares' system-server could be run, by somebody who lists it carelessly. */
const SYSTEM_SERVER = { namespace: 'user-system-<user>', name: 'sys-ops' };

/** Where pods are, by what they are. */
const AT = {
  alicesFrontend: '127.0.1.1',
  bobsFrontend: '127.0.1.2',
  carolsFrontend: '127.0.1.3',
  besideAlicesFrontend: '127.0.1.4',
  alicesApp: '127.0.1.5',
  appWithTheAccountsName: '127.0.1.6',
  onTheHostsNetwork: '127.0.1.7',
  starting: '127.0.1.8',
  going: '127.0.1.9',
  claimedTwice: '127.0.1.10',
  besideSystemServer: '127.0.1.11',
} as const;

interface Pod {
  readonly ip: string;
  readonly namespace: string;
  readonly account: string;
  readonly phase?: string;
  readonly hostNetwork?: boolean;
  readonly deleted?: boolean;
}

const frontendOf = (user: string, ip: string): Pod => ({
  ip,
  namespace: `user-space-${user}`,
  account: 'system-frontend',
});
const PODS: readonly Pod[] = [
  frontendOf('bob', AT.bobsFrontend),
  frontendOf('carol', AT.carolsFrontend),
  { ...frontendOf('alice', AT.besideAlicesFrontend), account: 'bfl' },
  { ip: AT.alicesApp, namespace: 'otmoiclp-alice', account: 'default' },
  { ip: AT.appWithTheAccountsName, namespace: 'otmoiclp-alice', account: 'system-frontend' },
  { ...frontendOf('alice', AT.onTheHostsNetwork), hostNetwork: true },
  { ...frontendOf('alice', AT.starting), phase: 'Pending' },
  { ...frontendOf('alice', AT.going), deleted: true },
  frontendOf('alice', AT.claimedTwice),
  frontendOf('bob', AT.claimedTwice),
  // What an app may state itself takes nobody's address.
  { ip: AT.alicesFrontend, namespace: 'otmoiclp-alice', account: 'system-frontend' },
  { ip: PEERS.alicesSystemServer, namespace: 'user-system-alice', account: 'sys-ops' },
  // Each watch tells of these last.
  { ip: AT.besideSystemServer, namespace: 'user-system-alice', account: 'sys-ops' },
  frontendOf('alice', AT.alicesFrontend),
];

/** What a proxy adds, and what an app would write. */
const EVERY_HEADER = {
  'x-forwarded-for': AT.alicesFrontend,
  'x-real-ip': AT.alicesFrontend,
  forwarded: `for=${AT.alicesFrontend}`,
  'x-bfl-user': 'alice',
  'x-remote-user': 'system:serviceaccount:user-space-alice:system-frontend',
  'x-remote-group': 'system:masters',
  'x-app-key': OTMOICLP.appKey,
  'terminus-nonce': 'n',
  cookie: 'session=x',
};

interface Route {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
}

const ROUTES: readonly Route[] = [
  { method: 'GET', path: 'permission/otmoiclp' },
  { method: 'GET', path: 'explain/otmoiclp' },
  { method: 'GET', path: 'secret/otmoiclp' },
  { method: 'POST', path: 'secret/otmoiclp', body: { Key: 'k', Value: 'v' } },
  { method: 'PUT', path: 'secret/otmoiclp', body: { Key: 'k', Value: 'w' } },
  { method: 'DELETE', path: 'secret/otmoiclp', body: { Key: 'k' } },
];

const NAMES: Route = { method: 'GET', path: 'secret/otmoiclp' };

describe('the Settings routes in a cluster', () => {
  let cluster: ClusterService;
  let tokens: Readonly<Record<'alice' | 'bob' | 'admin', string>>;
  beforeAll(async () => {
    cluster = await ClusterService.start(
      {
        settingsRoutes: 'service-accounts',
        userToken: { secret: Buffer.from('u'.repeat(64)), required: true, adminGroup: 'vault_admins' },
      },
      [FRONTEND, SYSTEM_SERVER],
    );
    for (const [at, pod] of PODS.entries()) cluster.server.of('pods').put(objectOf(pod, `p-${at}`));
    const now = cluster.clock.nowMs();
    tokens = {
      alice: await userToken('alice', now),
      bob: await userToken('bob', now),
      admin: await userToken('carol', now, { claims: { groups: ['vault_admins'] } }),
    };
    for (const last of [AT.besideSystemServer, AT.alicesFrontend]) await untilProven(cluster, last);
  });
  afterAll(async () => cluster.close());
  beforeEach(() => cluster.store.calls.splice(0));

  interface From {
    readonly from: string;
    readonly as?: 'alice' | 'bob' | 'admin';
    readonly headers?: Readonly<Record<string, string>>;
  }
  const call = (
    { from, as = 'alice', headers = {} }: From,
    { method, path, body }: Route = NAMES,
  ): Promise<Answer> =>
    httpCall(`${cluster.url}/admin/${path}`, {
      method,
      body,
      from,
      headers: { 'x-authorization': tokens[as], ...headers },
    });
  const bearer = (namespace: string, name: string, change = {}) => ({
    authorization: `Bearer ${cluster.token(namespace, { name, ...change })}`,
  });

  it('accept the frontend’s token while an address floods with forged ones', async () => {
    let go: () => void = () => undefined;
    cluster.server.reviewGate = new Promise((resolve) => (go = resolve));
    const statuses: number[] = [];
    const forged = (i: number) => ({
      authorization: bearer('user-space-alice', 'x').authorization.replace('canary', `forged-${i}`),
    });
    const flood = Array.from({ length: 100 }, async (_, i) =>
      statuses.push((await call({ from: PEERS.nobody, headers: forged(i) })).status),
    );
    await eventually(() => expect(statuses).toHaveLength(76));
    const own = Promise.all(
      ['127.0.2.1', '127.0.2.2'].map((from) =>
        call({ from, headers: bearer('user-space-alice', 'system-frontend') }),
      ),
    );
    setTimeout(go, 100);
    expect((await own).map(({ status }) => status)).toEqual([200, 200]);
    await Promise.all(flood);
    expect(new Set(statuses)).toEqual(new Set([403, 429]));
  });

  it.each(ROUTES)(
    'answer the frontend of the user, by the address of its pod: $method $path',
    async (route) => {
      expect((await call({ from: AT.alicesFrontend }, route)).status).toBe(200);
    },
  );

  it.each(ROUTES)(
    'answer the frontend of the user, by its token from anywhere: $method $path',
    async (route) => {
      const headers = bearer('user-space-alice', 'system-frontend');
      expect((await call({ from: PEERS.nobody, headers }, route)).status).toBe(200);
    },
  );

  it('answer a frontend that forwards what the browser sent', async () => {
    expect((await call({ from: AT.alicesFrontend, headers: EVERY_HEADER })).status).toBe(200);
    const headers = { ...EVERY_HEADER, ...bearer('user-space-alice', 'system-frontend') };
    expect((await call({ from: PEERS.alicesSystemServer, headers })).status).toBe(200);
  });

  it.each(ROUTES)(
    'refuse whoever holds the user’s token without being the frontend: $method $path',
    async (route) => {
      const answer = await call({ from: AT.alicesApp }, route);
      expect([answer.status, answer.body.data]).toMatchObject([
        403,
        { reason: 'NOT_SETTINGS_APP', setting: 'SETTINGS_SERVICE_ACCOUNTS' },
      ]);
      expect(cluster.store.calls).toEqual([]);
    },
  );

  it.each<[string, () => From]>([
    ['from an address of nobody', () => ({ from: PEERS.nobody })],
    ['from the frontend of another user', () => ({ from: AT.bobsFrontend })],
    ['with another user’s token, from alice’s frontend', () => ({ from: AT.alicesFrontend, as: 'bob' })],
    ['from another pod of the frontend’s namespace', () => ({ from: AT.besideAlicesFrontend })],
    ['from an app whose ServiceAccount has that name', () => ({ from: AT.appWithTheAccountsName })],
    ['from a frontend on the host’s network', () => ({ from: AT.onTheHostsNetwork })],
    ['from a frontend that has not started', () => ({ from: AT.starting })],
    ['from a frontend that goes', () => ({ from: AT.going })],
    ['from an address that another user’s frontend has too', () => ({ from: AT.claimedTwice })],
    ['with every header of a proxy', () => ({ from: AT.alicesApp, headers: EVERY_HEADER })],
    [
      'with every header of a proxy, through system-server',
      () => ({ from: PEERS.alicesSystemServer, headers: EVERY_HEADER }),
    ],
    ['through system-server, though its account is listed', () => ({ from: PEERS.alicesSystemServer })],
    ['through a trusted proxy', () => ({ from: PEERS.trustedProxy, headers: EVERY_HEADER })],
    [
      'with the app’s own pod token',
      () => ({ from: AT.alicesApp, headers: bearer('otmoiclp-alice', 'default') }),
    ],
    [
      'with the app’s own pod token, passed on by the frontend',
      () => ({ from: AT.alicesFrontend, headers: bearer('otmoiclp-alice', 'default') }),
    ],
    [
      'with the token of another user’s frontend',
      () => ({ from: PEERS.nobody, headers: bearer('user-space-bob', 'system-frontend') }),
    ],
    [
      'with the token of another user’s frontend, from the frontend',
      () => ({ from: AT.alicesFrontend, headers: bearer('user-space-bob', 'system-frontend') }),
    ],
    [
      'with the token of an app whose ServiceAccount has that name',
      () => ({ from: AT.alicesApp, headers: bearer('otmoiclp-alice', 'system-frontend') }),
    ],
    [
      'with a frontend’s token for another audience',
      () => ({
        from: AT.alicesApp,
        headers: bearer('user-space-alice', 'system-frontend', { audience: 'kubernetes' }),
      }),
    ],
    [
      'with a frontend’s token that expired',
      () => ({
        from: AT.alicesApp,
        headers: bearer('user-space-alice', 'system-frontend', { expiresAtMs: 1000 }),
      }),
    ],
    ['with a token of nobody', () => ({ from: AT.alicesApp, headers: { authorization: 'Bearer x.y.z' } })],
  ])('refuse a call %s', async (_, from) => {
    const answer = await call(from());
    expect([answer.status, answer.body.data.reason]).toEqual([403, 'NOT_SETTINGS_APP']);
    expect(cluster.store.calls).toEqual([]);
  });

  it('ask for the user’s token beside the proof, and for a bearer token where Authorization is sent', async () => {
    const app = await accessToken('otmoiclp', 'alice', OTMOICLP.ops, cluster.clock.nowMs());
    for (const [headers, credential] of [
      [{ 'x-authorization': '' }, 'X-Authorization'],
      [{ 'x-authorization': 'x' }, 'X-Authorization'],
      [{ 'x-authorization': app }, 'X-Authorization'],
      [{ 'x-authorization': '', 'x-access-token': app, 'x-bfl-user': 'alice' }, 'X-Authorization'],
      [{ authorization: 'Basic YWxpY2U6eA==' }, 'Authorization'],
    ] as const) {
      const answer = await call({ from: AT.alicesFrontend, headers });
      expect([answer.status, answer.body.data]).toMatchObject([
        401,
        { reason: 'UNAUTHENTICATED', credential },
      ]);
    }
    expect(cluster.store.calls).toEqual([]);
  });

  it('let an administrator act for others from the administrator’s own frontend only', async () => {
    const route = { method: 'GET', path: 'secret/otmoiclp?user=alice' };
    expect((await call({ from: AT.carolsFrontend, as: 'admin' }, route)).status).toBe(200);
    for (const from of [AT.alicesFrontend, AT.alicesApp, PEERS.nobody]) {
      const answer = await call({ from, as: 'admin' }, route);
      expect([answer.status, answer.body.data.reason]).toEqual([403, 'NOT_SETTINGS_APP']);
    }
    const answer = await call({ from: AT.bobsFrontend, as: 'bob' }, route);
    expect([answer.status, answer.body.data.reason]).toEqual([403, 'USER_MISMATCH']);
  });

  it('do not count the proof of an earlier request of the connection, nor of one that asked for a WebSocket', async () => {
    const first = [
      `GET /admin/permission/otmoiclp HTTP/1.1\r\nHost: x\r\nX-Authorization: ${tokens.alice}`,
      `${EVERY_HEADER['x-forwarded-for']}`,
    ].join('\r\nX-Forwarded-For: ');
    const proof = `Authorization: Bearer ${cluster.token('user-space-alice', { name: 'system-frontend' })}`;
    const second = `GET /admin/secret/otmoiclp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Authorization: ${tokens.alice}\r\n\r\n`;
    for (const before of [
      `${first}\r\n${proof}\r\n\r\n`,
      `${first}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    ]) {
      const text = await conversation(cluster.url, AT.alicesApp, before, second);
      expect(text.split('HTTP/1.1 ').slice(2).join()).toMatch(/^403 .*NOT_SETTINGS_APP/s);
    }
    expect(cluster.store.calls).toEqual([]);
  });

  it('review no bearer token before the user’s token is valid', async () => {
    const reviews = () => cluster.server.requests.filter(({ method }) => method === 'POST').length;
    const before = reviews();
    const headers = { 'x-authorization': 'x', ...bearer('user-space-alice', 'other') };
    expect((await call({ from: PEERS.nobody, headers })).status).toBe(401);
    expect(reviews()).toBe(before);
  });
});

describe('the Settings routes, switched off', () => {
  it('answer 404 like unknown routes, with or without credentials', async () => {
    const cluster = await ClusterService.start({ settingsRoutes: 'off' });
    const token = await userToken('alice', cluster.clock.nowMs());
    for (const { method, path, body } of ROUTES) {
      for (const headers of [{}, { 'x-authorization': token }] as Record<string, string>[]) {
        const answer = await httpCall(`${cluster.url}/admin/${path}`, { method, body, headers });
        expect([answer.status, answer.body.data.reason]).toEqual([404, 'ROUTE_NOT_FOUND']);
      }
    }
    expect(cluster.store.calls).toEqual([]);
    await cluster.close();
  });
});

function objectOf({ ip, namespace, account, phase = 'Running', hostNetwork, deleted }: Pod, name: string) {
  return {
    metadata: { name, namespace, ...(deleted === true && { deletionTimestamp: '2026-11-22T12:00:00Z' }) },
    spec: { serviceAccountName: account, ...(hostNetwork === true && { hostNetwork }) },
    status: { phase, podIPs: [{ ip }] },
  };
}

async function untilProven(cluster: ClusterService, address: string): Promise<void> {
  const { peerVerifier } = cluster.service.adapters;
  while ((await peerVerifier?.provesSettings({ address, bearer: undefined }, 'alice')) !== true)
    await new Promise((next) => setImmediate(next));
}

/** The second is sent when the first is answered. */
function conversation(url: string, from: string, first: string, second: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress: from });
    let text = '';
    socket.on('error', reject).on('close', () => resolve(text));
    socket.once('data', () => socket.write(second));
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.write(first);
  });
}
