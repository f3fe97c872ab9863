import { request as httpRequest } from 'node:http';
import { hash } from 'bcrypt';
import { StoreUnavailable } from '../../src/errors/store-errors';
import { exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { eventually } from '../support/eventually';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const LIST = 'ListSecret?workspace=otmoic';
const THROUGH = 'system-server/v1alpha1/secret/secret.infisical/v1/';
const clock = new FixedClock();

/** The line of the log that has this request id. */
function lineOf(service: Service, requestId: string): Record<string, unknown> | undefined {
  return service
    .logLines()
    .find((line) => line['requestId'] === requestId && line['msg'] === 'request_completed');
}

describe.each(['documented', 'sidecar'] as const)('the log, with RESPONSE_STYLE=%s', (responseStyle) => {
  const store = new MemorySecretStore();
  let service: Service;
  let credentials: Record<string, string>;
  beforeAll(async () => {
    service = await startService({ clock, store, grantSource: exampleApps() }, { responseStyle });
    credentials = {
      'x-authorization': await userToken('alice', clock.nowMs()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
    };
  });
  afterAll(async () => service.close());

  /** What is asked for, how it ends, and at what level that is told. */
  const ends: readonly (readonly [string, string, object, object, number, string | undefined, string])[] = [
    ['a success', LIST, {}, {}, 200, undefined, 'info'],
    ['a missing name', 'RetrieveSecret?workspace=otmoic', { name: 'none' }, {}, 404, 'SECRET_NOT_FOUND', 'info'],
    ['a broken rule', 'RetrieveSecret?workspace=otmoic', { name: '' }, {}, 400, 'INVALID_REQUEST', 'info'],
    ['a refused token', LIST, {}, { 'x-access-token': 'no' }, 401, 'UNAUTHENTICATED', 'info'],
    ['a missing grant', 'ListSecret?workspace=foreign', {}, {}, 403, 'NOT_GRANTED', 'info'],
    ['a store that is away', LIST, {}, { 'x-fail': 'store' }, 503, 'STORE_UNAVAILABLE', 'error'],
    ['a fault of ours', LIST, {}, { 'x-fail': 'bug' }, 500, 'INTERNAL', 'error'],
    ['a broken body', LIST, '{' as unknown as object, { 'content-type': 'application/json' }, 400, 'INVALID_REQUEST', 'info'],
    ['a Settings route', 'admin/secret/otmoiclp', {}, { 'x-authorization': 'no' }, 401, 'UNAUTHENTICATED', 'info'],
  ]; // prettier-ignore

  it.each(ends.flatMap(([title, target, ...rest]) => [
    [title, target, ...rest] as const,
    ...(target.startsWith('admin') ? [] : [[`${title}, through system-server's path`, THROUGH + target, ...rest] as const]),
  ]))('tells the true code and reason of %s', async (title, target, body, headers, code, reason, level) => {
    const failing = (headers as Record<string, string>)['x-fail'];
    store.failure = failing === 'store' ? new StoreUnavailable() : failing === 'bug' ? new Error('x') : undefined;
    const id = `${responseStyle}-${title.replace(/\W/g, '-')}`;
    await httpCall(`${service.url}/${target}`, {
      headers: { ...credentials, ...(headers as Record<string, string>), 'x-request-id': id },
      body,
    });
    store.failure = undefined;
    const line = lineOf(service, id);
    expect([line?.['code'], line?.['reason'], line?.['level'], line?.['completed']]).toEqual([code, reason, level, true]);
    expect(line?.['peer']).toBe('127.0.0.1');
  }); // prettier-ignore

  it('has 499 for a client that goes away before there is an answer', async () => {
    let open: () => void = () => undefined;
    store.gate = new Promise((resolve) => (open = resolve));
    const headers = { ...credentials, 'x-request-id': 'gone', 'content-length': 0 };
    const call = httpRequest(`${service.url}/${LIST}`, { method: 'POST', headers });
    call.on('error', () => undefined);
    const began = store.calls.length;
    call.end();
    await eventually(() => expect(store.calls.length).toBe(began + 1));
    call.destroy();
    await eventually(() => expect(lineOf(service, 'gone')).toBeDefined());
    open();
    store.gate = Promise.resolve();
    expect(lineOf(service, 'gone')).toMatchObject({
      level: 'info',
      op: 'ListSecret',
      app: 'otmoiclp',
      user: 'alice',
      code: 499,
      completed: false,
      peer: '127.0.0.1',
    });
  });
});

describe('the log of POST /permission/v1alpha1/access', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ clock, store: new MemorySecretStore(), grantSource: exampleApps() });
  });
  afterAll(async () => service.close());
  // A hash is good once; each test gets a second of its own.
  beforeEach(() => clock.advance(1000));

  const nowS = (): number => Math.floor(clock.nowMs() / 1000);
  const proof = async (app = OTMOICLP, timestamp = nowS()): Promise<string> =>
    hash(`${app.appKey}${timestamp}${app.appSecret}`, 10);
  const access = async (id: string, overrides: object = {}): Promise<Answer> =>
    httpCall(`${service.url}/permission/v1alpha1/access`, {
      headers: { 'x-request-id': id },
      body: {
        app_key: OTMOICLP.appKey,
        timestamp: nowS(),
        token: await proof(),
        perm: { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops: [LIST] },
        ...overrides,
      },
    });
  const CLAIMED = { claimedApp: 'otmoiclp', claimedUser: 'alice' };

  /** All that the line says but what every line says. */
  const toldOf = (id: string): object => {
    const { time: _time, durationMs, requestId: _id, msg: _msg, peer, ...told } = lineOf(service, id) ?? {};
    expect([typeof durationMs, peer]).toEqual(['number', '127.0.0.1']);
    return told;
  };
  const COMMON = { level: 'info', method: 'POST', op: 'access', completed: true };

  it('names the app and the user to whom a token was issued', async () => {
    expect((await access('issued')).body.code).toBe(0);
    expect(toldOf('issued')).toEqual({ ...COMMON, app: 'otmoiclp', user: 'alice', code: 200 });
  });

  it('names the app that proved itself and lacks a grant', async () => {
    const refused = { app_key: READER.appKey, token: await proof(READER) };
    expect((await access('not-granted', refused)).body.code).toBe(1);
    expect(toldOf('not-granted')).toEqual({
      ...COMMON,
      app: 'reader',
      user: 'alice',
      code: 403,
      reason: 'NOT_GRANTED',
    });
  });

  it.each([
    ['a timestamp in milliseconds', 'clock_skew', { timestamp: 1_700_000_000_000 }],
    ['a clock that is slow', 'clock_skew', { timestamp: -11 }],
    ['a clock that is fast', 'clock_skew', { timestamp: 11 }],
    ['another secret', 'wrong_secret', { token: 'of another secret' }],
    ['what is no hash of cost 10', 'malformed', { token: 'canary-garbage' }],
  ])('tells the cause of a refused proof: %s', async (_title, cause, { timestamp, token }: { timestamp?: number; token?: string }) => {
    const at = timestamp === undefined ? nowS() : timestamp > 100 ? timestamp : nowS() + timestamp;
    const app = token === 'of another secret' ? { ...OTMOICLP, appSecret: 'another' } : OTMOICLP;
    const sent = token === 'canary-garbage' ? token : await proof(app, at);
    const id = `refused-${cause}-${at}`;
    expect((await access(id, { timestamp: at, token: sent })).body.code).toBe(100001);
    const skew = cause === 'clock_skew' ? { skewS: at - nowS() } : {};
    expect(toldOf(id)).toEqual({ ...COMMON, ...CLAIMED, ...skew, cause, code: 401, reason: 'UNAUTHENTICATED' });
  }); // prettier-ignore

  it('has a hash that was used before, and an unknown key, without naming an app', async () => {
    const token = await proof();
    expect((await access('first', { token })).body.code).toBe(0);
    expect((await access('again', { token })).body.code).toBe(100001);
    const refused = { ...COMMON, code: 401, reason: 'UNAUTHENTICATED' };
    expect(toldOf('again')).toEqual({ ...refused, ...CLAIMED, cause: 'replayed' });
    await access('nobody', { app_key: 'canary_nobody' });
    expect(toldOf('nobody')).toEqual({ ...refused, cause: 'unknown_key' });
    await access('long', { app_key: 'canary_nobody'.repeat(5) });
    expect(toldOf('long')).toEqual({ ...refused, cause: 'key_too_long' });
  });

  it('has a body that is not of the documented form', async () => {
    await access('no-perm', { perm: undefined });
    expect(toldOf('no-perm')).toEqual({ ...COMMON, code: 400, reason: 'INVALID_REQUEST' });
  });

  it('has nothing that the caller wrote: no key, no proof, no op', async () => {
    const perm = { group: 'canary-group', dataType: 'canary', version: 'canary-v', ops: ['canary-op'] };
    await access('canaries', { perm, svc: 'canary-svc' });
    await access('canaries', { app_key: 'canary_key', token: 'canary-token', perm });
    expect(service.log()).not.toContain('canary');
    expect(service.log()).not.toContain(OTMOICLP.appKey);
  });
});
