import { connect } from 'node:net';
import { StoreOutcomeUnknown, StoreUnavailable } from '../../src/errors/store-errors';
import { OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer, type Call } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const store = new MemorySecretStore();
const grants = exampleApps();
let service: Service;
let credentials: Record<string, string>;
beforeAll(async () => {
  service = await startService({ clock, store, grantSource: grants });
  credentials = {
    'x-authorization': await userToken('alice', clock.nowMs()),
    'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
  };
});
afterAll(async () => service.close());
afterEach(() => (store.failure = undefined));

const list = async (call: Call = {}): Promise<Answer> =>
  httpCall(`${service.url}/ListSecret?workspace=otmoic`, {
    body: {},
    ...call,
    headers: { ...credentials, ...call.headers },
  });

describe('every answer is the envelope', () => {
  it.each([
    ['an unknown route', 'POST', '/Nope'],
    ['the root', 'GET', '/'],
    ['a wrong method', 'GET', '/ListSecret?workspace=otmoic'],
    ['PUT', 'PUT', '/CreateSecret?workspace=otmoic'],
    ['OPTIONS, since there is no CORS', 'OPTIONS', '/ListSecret?workspace=otmoic'],
    ['another letter case', 'POST', '/listsecret?workspace=otmoic'],
    ['a trailing slash', 'POST', '/ListSecret/?workspace=otmoic'],
    ['a broken percent escape', 'POST', '/%zz'],
  ])('%s', async (_title, method, path) => {
    const answer = await httpCall(service.url + path, {
      method,
      headers: { ...credentials, 'x-request-id': 'r1' },
    });
    expect([answer.status, answer.body]).toEqual([
      404,
      {
        code: 404,
        message: 'There is no such route; the operations are POST /<Op>?workspace=<name>.',
        data: { reason: 'ROUTE_NOT_FOUND', requestId: 'r1' },
      },
    ]);
  });

  it('has the reason and Retry-After where a dependency fails', async () => {
    store.failure = new StoreUnavailable();
    const answer = await list({ headers: { 'x-request-id': 'r1' } });
    expect([answer.status, answer.headers['retry-after'], answer.body]).toEqual([
      503,
      '1',
      {
        code: 503,
        message: 'The secret store is not available; try again.',
        data: { reason: 'STORE_UNAVAILABLE', requestId: 'r1' },
      },
    ]);
  });

  it('says that the outcome of a write is unknown', async () => {
    store.failure = new StoreOutcomeUnknown();
    const body = { name: 'k', value: 'v' };
    const url = `${service.url}/UpdateSecret?workspace=otmoic`;
    const unknown = await httpCall(url, { headers: credentials, body });
    expect(unknown.body.data.reason).toBe('STORE_OUTCOME_UNKNOWN');
    // Nobody is invited to repeat blindly what may have happened.
    expect(unknown.headers['retry-after']).toBeUndefined();
  });

  it('contains nothing of a foreign error, and neither does the log', async () => {
    const foreign = Object.assign(new Error('canary-message'), {
      config: { headers: { authorization: 'canary-token' } },
    });
    store.failure = foreign;
    const answer = await list({ headers: { 'x-request-id': 'r9' } });
    expect([answer.status, answer.body]).toEqual([
      500,
      {
        code: 500,
        message: 'Something went wrong on our side; the log knows this request by its id.',
        data: { reason: 'INTERNAL', requestId: 'r9' },
      },
    ]);
    expect(answer.text + service.log()).not.toContain('canary');
    expect(
      service.logLines().filter((line) => line['requestId'] === 'r9' && line['errorClass'] === 'Error'),
    ).toHaveLength(1);
  });

  it.each([
    ['what is no HTTP', 'HELLO\r\n\r\n', 400, 'INVALID_REQUEST'],
    [
      'headers that are too large',
      `GET / HTTP/1.1\r\nHost: x\r\nX-Big: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'HEADERS_TOO_LARGE',
    ],
  ])('%s', async (_title, bytes, code, reason) => {
    const text = await rawExchange(bytes);
    expect(text.split(' ', 2)).toEqual(['HTTP/1.1', String(code)]);
    const body = JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
    expect([body.code, body.data.reason]).toEqual([code, reason]);
  });

  it.each([
    ['without a Host', ''],
    ['with an expectation that nobody knows', 'Host: x\r\nExpect: 200-maybe\r\n'],
  ])('to HTTP %s', async (_title, headers) => {
    const text = await rawExchange(`POST /nope HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
    expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))).data.reason).toBe('ROUTE_NOT_FOUND');
  });

  it('is never sent to a request that is in flight when a broken one follows it', async () => {
    let open: () => void = () => undefined;
    store.gate = new Promise((resolve) => (open = resolve));
    const before = store.calls.length;
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.write(listRequest());
    while (store.calls.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.write('GARBAGE\r\n\r\n');
    await new Promise((closed) => socket.once('close', closed));
    open();
    store.gate = Promise.resolve();
    expect(answer).not.toContain('HTTP/1.1 400');
  });

  it('is never sent to a request that has not begun, which is then not handled', async () => {
    const before = store.calls.length;
    expect(await rawExchange(`${listRequest()}GARBAGE\r\n\r\n`)).toBe('');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(store.calls).toHaveLength(before);
  });

  function listRequest(): string {
    const lines = Object.entries(credentials).map(([name, value]) => `${name}: ${value}\r\n`);
    return `POST /ListSecret?workspace=otmoic HTTP/1.1\r\nHost: x\r\n${lines.join('')}Content-Length: 0\r\n\r\n`;
  }

  async function rawExchange(bytes: string): Promise<string> {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    socket.write(bytes);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('utf8');
  }
});

describe('the headers of every answer', () => {
  it('forbid storing, name no framework and open no origin', async () => {
    const answers = [
      await list(),
      await httpCall(`${service.url}/nope`, { method: 'GET', headers: { origin: 'http://evil.example' } }),
      await list({ body: '{', headers: { 'content-type': 'application/json' } }),
      await httpCall(`${service.url}/livez`, { method: 'GET' }),
    ];
    expect(answers.map((a) => a.status)).toEqual([200, 404, 400, 200]);
    // Only what was read has one, and it is ours: docs/decisions/0018-conditional-writes.md.
    expect(answers.map(({ headers }) => headers['etag'] !== undefined)).toEqual([true, false, false, false]);
    for (const { headers } of answers) {
      expect(headers['cache-control']).toBe('no-store');
      expect(headers['x-powered-by']).toBeUndefined();
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
      expect(headers['content-type']).toBe('application/json; charset=utf-8');
    }
  });

  it('take over a well-formed request id and replace another', async () => {
    expect((await list({ headers: { 'x-request-id': 'Job-7.a_b' } })).headers['x-request-id']).toBe(
      'Job-7.a_b',
    );
    for (const odd of ['', 'a b', 'x'.repeat(200), 'a"b', '<script>']) {
      const made = (await list({ headers: { 'x-request-id': odd } })).headers['x-request-id'];
      expect(made).toMatch(/^[0-9a-f-]{36}$/);
    }
    const failed = await list({
      body: '{',
      headers: { 'content-type': 'application/json', 'x-request-id': 'bad-json' },
    });
    expect([failed.headers['x-request-id'], failed.body.data.requestId]).toEqual(['bad-json', 'bad-json']);
  });
});

describe('health', () => {
  const ready = async () =>
    httpCall(`${service.url}/readyz`, { method: 'GET', headers: { 'x-request-id': 'r1' } });

  it('is ready, with the state of store and grants', async () => {
    expect((await ready()).body).toEqual({
      code: 200,
      message: '',
      data: { store: 'ok', grants: 'ok', installedApps: 3, problems: [] },
    });
  });

  it('counts the problems of grants without naming anybody', async () => {
    const status = jest.spyOn(grants, 'status').mockReturnValue({
      ready: true,
      installedApps: 3,
      problems: Array.from({ length: 1_002 }, (_, at) => ({
        source: `user-system-carol${at}/app${at}`,
        reason: `the same app key as user-system-dave/app${at}`,
        servedFromLastGood: at < 2,
      })),
    });
    const answer = await ready();
    status.mockRestore();
    expect(answer.body.data.problems).toEqual([
      'Grants of 1000 source(s) cannot be served: grants_problem in the log names them.',
      'Grants of 2 source(s) can no longer be read and stay as they last were: grants_problem in the log names them.',
    ]);
  });

  it('is alive but not ready without its store', async () => {
    store.failure = new StoreUnavailable();
    const answer = await ready();
    expect([answer.status, answer.body]).toEqual([
      503,
      {
        code: 503,
        message: 'Not ready: a dependency is missing.',
        data: {
          reason: 'NOT_READY',
          requestId: 'r1',
          store: 'The secret store is not available; try again.',
          grants: 'ok',
          installedApps: 3,
          problems: [],
        },
      },
    ]);
    expect((await httpCall(`${service.url}/livez`, { method: 'GET' })).body).toEqual({
      code: 200,
      message: '',
      data: '',
    });
  });

  it('is not ready before the grants are loaded', async () => {
    grants.setReady(false);
    const answer = await ready();
    grants.setReady(true);
    expect([answer.status, answer.body.data.grants]).toEqual([503, 'not loaded yet']);
  });
});

describe('the log', () => {
  it('has one line for each request: who, what, where, how it ended', async () => {
    await list({ headers: { 'x-request-id': 'one-line' } });
    const lines = service.logLines().filter((line) => line['requestId'] === 'one-line');
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.any(String),
        requestId: 'one-line',
        method: 'POST',
        op: 'ListSecret',
        app: 'otmoiclp',
        user: 'alice',
        workspace: 'otmoic',
        code: 200,
        completed: true,
        peer: '127.0.0.1',
        durationMs: expect.any(Number),
        msg: 'request_completed',
      },
    ]);
  });

  it('has refused requests too, including a broken body', async () => {
    await list({ headers: { 'x-request-id': 'refused', 'x-access-token': 'nope' } });
    await list({ body: '{', headers: { 'x-request-id': 'broken', 'content-type': 'application/json' } });
    const codes = service.logLines().map((line) => [line['requestId'], line['op'], line['code']]);
    expect(codes).toContainEqual(['refused', 'ListSecret', 401]);
    expect(codes).toContainEqual(['broken', 'ListSecret', 400]);
  });

  it('has no value, token or key, whatever was sent', async () => {
    const canary = 'canary-4711';
    const call = async (op: string, body: unknown, headers: Record<string, string> = {}) =>
      httpCall(`${service.url}/${op}?workspace=otmoic`, { headers: { ...credentials, ...headers }, body });
    await call('CreateSecret', { name: 'k', value: canary });
    await call('CreateSecret', { name: 'k', value: canary });
    await call('UpdateSecret', { name: 'k', value: canary });
    await call('RetrieveSecret', { name: 'k' });
    await call('ListSecret', {});
    await call('CreateSecret', { name: 'k', value: canary, [canary]: 1 });
    await call('CreateSecret', { name: canary + '/', value: canary });
    await call('CreateSecret', `{"value":"${canary}`, { 'content-type': 'application/json' });
    await call('ListSecret', {}, { 'x-access-token': canary, cookie: canary, authorization: canary });
    await call('ListSecret', {}, { 'x-authorization': canary, 'x-forwarded-for': canary, referer: canary });
    await httpCall(`${service.url}/${canary}?workspace=${canary}%20&token=${canary}`);
    store.failure = new Error(canary);
    await call('CreateSecret', { name: 'k', value: canary });
    const log = service.log();
    expect(log).not.toContain(canary);
    for (const token of Object.values(credentials)) expect(log).not.toContain(token);
    expect(log).not.toContain(OTMOICLP.appSecret);
  });
});
