import { ClusterService, PEERS, PROXY_REQUEST } from '../support/cluster-service';
import { OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedGrantSource } from '../support/fixed-grant-source';
import { MemorySecretStore } from '../support/memory.secret-store';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { rawExchange } from '../support/raw-exchange';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const SCOPE = { user: 'alice', workspace: 'otmoic', environment: 'prod' } as const;
const CANARY = 'canary-victim';
const BODY = JSON.stringify(PROXY_REQUEST);

describe('a request with more headers than any client sends', () => {
  let cluster: ClusterService;
  beforeEach(async () => {
    cluster = await ClusterService.start();
    await cluster.store.create(SCOPE, { name: 'k', value: CANARY });
  });
  afterEach(() => cluster.close());

  const fillers = (count: number) => 'A: b\r\n'.repeat(count);
  /** As system-server passes a call on, with what tells so behind the fillers. */
  const smuggled = (count: number, hidden: string) =>
    `POST /ListSecret HTTP/1.1\r\nHost: x\r\nUser-Agent: u\r\nContent-Length: ${BODY.length}\r\n` +
    `${fillers(count)}Content-Type: application/json\r\nX-Bfl-User: alice\r\n${hidden}\r\n${BODY}`;

  it.each([96, 100, 200, 993, 994, 995, 996, 997, 998, 1_100, 1_994, 1_995, 1_996, 2_400])(
    'is refused with 431 with %i of them, and nothing behind them is hidden',
    async (count) => {
      const bytes = smuggled(count, 'X-Forwarded-For: 10.0.0.7\r\n');
      const [answer] = await rawExchange(cluster.url, bytes, PEERS.alicesSystemServer);
      expect([answer?.status, answer?.body.data.reason]).toEqual([431, 'HEADERS_TOO_LARGE']);
      expect(JSON.stringify(answer)).not.toContain(CANARY);
    },
  );

  it.each([0, 60, 95])(
    'is read completely with %i more, so that forwarding headers are seen',
    async (count) => {
      const passedOn = smuggled(count - 1 < 0 ? 0 : count - 1, 'X-Forwarded-For: 10.0.0.7\r\n');
      const [refused] = await rawExchange(cluster.url, passedOn, PEERS.alicesSystemServer);
      expect(refused?.status).toBe(401);
      const [answer] = await rawExchange(cluster.url, smuggled(count, ''), PEERS.alicesSystemServer);
      expect([answer?.status, JSON.stringify(answer).includes(CANARY)]).toEqual([200, true]);
    },
  );

  it('ends its connection, so that no request behind it is answered', async () => {
    const first = `GET /x HTTP/1.1\r\nHost: x\r\n${fillers(1_000)}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    const answers = await rawExchange(cluster.url, first + smuggled(0, ''), PEERS.alicesSystemServer, 2);
    expect(answers.map(({ status }) => status)).toEqual([431]);
  });

  it('is logged with its reason', async () => {
    await rawExchange(cluster.url, smuggled(995, ''), PEERS.alicesSystemServer);
    const line = cluster.service.logLines().find(({ msg }) => msg === 'request_completed');
    expect(line).toMatchObject({ code: 431 });
  });
});

describe('the target of a request', () => {
  const clock = new FixedClock();
  const store = new MemorySecretStore();
  let service: Service;
  let credentials: string;
  beforeAll(async () => {
    const read = { perSecond: 0.001, burst: 3 };
    const time = new FixedMonotonicTime();
    service = await startService(
      { clock, store, time, grantSource: new FixedGrantSource([OTMOICLP]) },
      { limits: { ...TEST_SETTINGS.limits, rates: { app: { read }, user: {} } } },
    );
    credentials =
      `X-Authorization: ${await userToken('alice', clock.nowMs())}\r\n` +
      `X-Access-Token: ${await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs())}\r\n`;
  });
  afterAll(() => service.close());
  const call = async (target: string) =>
    (await rawExchange(service.url, `POST ${target} HTTP/1.1\r\nHost: x\r\n${credentials}\r\n`))[0];

  it.each([
    'http://x/ListSecret?workspace=otmoic',
    'https://x/ListSecret?workspace=otmoic',
    'HTTP://x:8080/ListSecret?workspace=otmoic',
    'x:8080/ListSecret?workspace=otmoic',
    'ListSecret?workspace=otmoic',
    '*',
    '?workspace=otmoic',
    '//x/ListSecret?workspace=otmoic',
    '/ListSecret#?workspace=otmoic',
    '/ListSecret?workspace=otmoic#',
    '\\ListSecret?workspace=otmoic',
    '/ListSecret\\?workspace=otmoic',
    '/ListSecret?workspace=otm\u00f6ic',
    `/ListSecret?${'a=1&'.repeat(1_000)}workspace=otmoic`,
  ])('is 400 in the form %s, and the store is not asked', async (target) => {
    const calls = [...store.calls];
    const answer = await call(target);
    expect([answer?.status ?? 400, answer?.body?.data.reason ?? 'INVALID_REQUEST']).toEqual([
      400,
      'INVALID_REQUEST',
    ]);
    expect(store.calls).toEqual(calls);
  });

  it.each([
    '/%4cistSecret?workspace=otmoic',
    '/ListSecret/?workspace=otmoic',
    '/./ListSecret?workspace=otmoic',
    '/x/../ListSecret?workspace=otmoic',
    '/listsecret?workspace=otmoic',
    '/ListSecret;x?workspace=otmoic',
    '/ListSecret%3Fworkspace=otmoic',
  ])('is no other spelling of an operation: %s is 404', async (target) => {
    const calls = [...store.calls];
    expect((await call(target))?.status).toBe(404);
    expect(store.calls).toEqual(calls);
  });

  it.each([
    'Content-Length: 4\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: 4',
    'Content-Length: 4\r\nContent-Length: 40',
    'Content-Length: 4, 40',
    'Content-Length: +4',
    'Content-Length: 0x4',
    'Content-Length : 4',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: identity, chunked, x',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding:\x0bchunked',
    'X: y\n Content-Length: 4',
  ])('with an ambiguous length of its body (%j) is 400, and the connection is closed', async (length) => {
    const calls = [...store.calls];
    const hidden = `POST /ListSecret?workspace=otmoic HTTP/1.1\r\nHost: x\r\n${credentials}\r\n`;
    const bytes = `POST /ListSecret?workspace=otmoic HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${credentials}${length}\r\n\r\n0\r\n\r\n${hidden}`;
    const answers = await rawExchange(service.url, bytes, undefined, 2);
    expect(answers.map(({ status }) => status)).toEqual([400]);
    expect(store.calls).toEqual(calls);
  });

  it('is the same for the route, the rate limit and the log', async () => {
    const statuses: unknown[] = [];
    for (let at = 0; at < 5; at += 1) statuses.push((await call('/ListSecret?workspace=otmoic'))?.status);
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    const line = service.logLines().findLast(({ msg }) => msg === 'request_completed');
    expect(line).toMatchObject({ op: 'ListSecret', workspace: 'otmoic', app: 'otmoiclp', code: 429 });
  });
});
