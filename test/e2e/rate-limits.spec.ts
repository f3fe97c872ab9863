import type { LimitSettings } from '../../src/config/settings';
import { ThrottledCredentials } from '../../src/http/guards/admission.guard';
import type { ProviderRequest } from '../../src/http/request/provider-request';
import { AlicesSystemServer } from '../support/alices-system-server';
import { BOBS_OTMOICLP, exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const time = new FixedMonotonicTime();
const store = new MemorySecretStore();
const few = (burst: number) => ({ perSecond: 0.5, burst });
const APP_RATES: LimitSettings['rates'] = { app: { read: few(3), write: few(2) }, user: {} };

describe('the rate limits of requests', () => {
  let service: Service;
  let stop = async (): Promise<void> => undefined;
  const start = async (limits: Partial<LimitSettings>): Promise<void> => {
    service = await startService(
      { clock, time, store, grantSource: exampleApps() },
      { limits: { rates: APP_RATES, maxInFlight: 500, ...limits } },
    );
    stop = () => service.close();
  };
  beforeEach(() => {
    store.calls.splice(0);
    store.failure = undefined;
    store.gate = Promise.resolve();
  });
  afterEach(async () => stop());

  const headersOf = async (app: typeof OTMOICLP): Promise<Record<string, string>> => ({
    'x-authorization': await userToken(app.user, clock.nowMs()),
    'x-access-token': await accessToken(app.app, app.user, app.ops, clock.nowMs()),
    'x-request-id': 'r',
  });
  const call = async (app: typeof OTMOICLP, op = 'ListSecret', body: unknown = {}): Promise<Answer> =>
    httpCall(`${service.url}/${op}?workspace=otmoic`, { headers: await headersOf(app), body });
  const statusesOf = async (times: number, send: () => Promise<Answer>): Promise<number[]> => {
    const statuses: number[] = [];
    for (let i = 0; i < times; i += 1) statuses.push((await send()).status);
    return statuses;
  };

  it('refuse the reads of an app beyond its limit with 429 and Retry-After, and do not call the store', async () => {
    await start({});
    expect(await statusesOf(3, () => call(OTMOICLP))).toEqual([200, 200, 200]);
    const asked = store.calls.length;
    const refused = await call(OTMOICLP);
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '2']);
    expect(refused.body).toEqual({
      code: 429,
      message: 'Too many requests; try again in 2 s.',
      data: { reason: 'TOO_MANY_REQUESTS', requestId: 'r', retryAfterSeconds: 2 },
    });
    expect(store.calls).toHaveLength(asked);
    time.advance(2_000);
    expect(await statusesOf(2, () => call(OTMOICLP))).toEqual([200, 429]);
  });

  it('do not affect the writes of the app, other apps and other users', async () => {
    await start({});
    expect(await statusesOf(4, () => call(OTMOICLP))).toEqual([200, 200, 200, 429]);
    expect((await call(OTMOICLP, 'CreateSecret', { name: 'k', value: 'v' })).status).toBe(200);
    expect((await call(READER, 'RetrieveSecret', { name: 'k' })).status).toBe(200);
    expect((await call(BOBS_OTMOICLP)).status).toBe(200);
  });

  it('refuse writes too', async () => {
    await start({});
    const write = () => call(OTMOICLP, 'DeleteSecret', { name: 'absent' });
    expect(await statusesOf(3, write)).toEqual([404, 404, 429]);
  });

  it('charge a large body as one more write for each 64 KiB, also where it is refused', async () => {
    await start({ rates: { app: { write: { perSecond: 0.001, burst: 12 } }, user: {} } });
    const write = async (value: unknown) =>
      (await call(OTMOICLP, 'CreateSecret', { name: 'large', value })).status;
    const statuses = [await write(['x'.repeat(500_000)])];
    for (let at = 0; at < 8; at += 1) statuses.push(await write(''));
    // 500 kB are seven times 64 KiB: four of the twelve were left.
    expect(statuses).toEqual([400, 200, 409, 409, 409, 429, 429, 429, 429]);
  });

  it('charge an app for nothing that others send in its name', async () => {
    await start({});
    const url = `${service.url}/ListSecret?workspace=otmoic`;
    const forged = { ...(await headersOf(OTMOICLP)), 'x-access-token': 'forged' };
    expect(await statusesOf(10, () => httpCall(url, { headers: forged, body: {} }))).toEqual(
      Array(10).fill(401),
    );
    expect((await call(OTMOICLP)).status).toBe(200);
  });

  it('limit the Settings routes together with all apps of the user', async () => {
    await start({ rates: { app: {}, user: { read: few(2) } } });
    const token = await userToken('alice', clock.nowMs());
    const settings = () =>
      httpCall(`${service.url}/admin/secret/otmoiclp`, {
        method: 'GET',
        headers: { 'x-authorization': token },
      });
    expect((await call(READER, 'RetrieveSecret', { name: 'k' })).status).not.toBe(429);
    expect(await statusesOf(3, settings)).toEqual([200, 429, 429]);
    expect((await call(OTMOICLP)).status).toBe(429);
    expect((await call(BOBS_OTMOICLP)).status).toBe(200);
  });

  it('refuse the same credentials before the body is read, and only while the limit is exceeded', async () => {
    await start({});
    await statusesOf(4, () => call(OTMOICLP));
    const headers = { ...(await headersOf(OTMOICLP)), 'content-type': 'application/json' };
    const broken = () => httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, body: '{' });
    expect((await broken()).status).toBe(429);
    time.advance(2_000);
    expect((await broken()).status).toBe(400);
    const lines = service.logLines().filter(({ code }) => code === 429);
    expect(lines.map(({ app, user, op }) => [app, user, op])).toEqual(
      Array(2).fill(['otmoiclp', 'alice', 'ListSecret']),
    );
  });

  it('refuse no other credentials, and no request without any', async () => {
    await start({});
    await statusesOf(4, () => call(OTMOICLP));
    const spent = await headersOf(OTMOICLP);
    const url = `${service.url}/ListSecret?workspace=otmoic`;
    for (const changed of [{ 'x-access-token': 'other' }, { 'x-authorization': 'other' }]) {
      expect((await httpCall(url, { headers: { ...spent, ...changed }, body: {} })).status).toBe(401);
    }
    expect((await httpCall(url, { body: {} })).status).toBe(401);
    expect((await httpCall(`${service.url}/readyz`, { method: 'GET', headers: spent })).status).toBe(200);
  });

  it('refuse no other caller that is known by its address and sends the token of the same user', () => {
    const throttled = new ThrottledCredentials(time, undefined);
    const from = (remoteAddress: string, more: object = {}) =>
      ({
        target: { kind: 'read', path: '/ListSecret', query: {} },
        headersDistinct: { 'x-authorization': ['of alice'], ...more },
        socket: { remoteAddress },
      }) as unknown as ProviderRequest;
    const refuses = (request: ProviderRequest): boolean => {
      try {
        throttled.requireUnthrottled(request);
        return false;
      } catch {
        return true;
      }
    };
    throttled.refusal(from('10.0.0.1'), 'read', { limitOf: 'app', retryAfterMs: 1_000 });
    expect([refuses(from('10.0.0.1')), refuses(from('10.0.0.2'))]).toEqual([true, false]);
    const own = { 'x-access-token': ['of notes'] };
    throttled.refusal(from('10.0.0.1', own), 'read', { limitOf: 'app', retryAfterMs: 1_000 });
    expect(refuses(from('10.0.0.2', own))).toBe(true);
  });

  it('refuse no other app of the same system-server', async () => {
    service = await startService(
      { clock, time, store, grantSource: exampleApps(), peerVerifier: new AlicesSystemServer() },
      { limits: { rates: { app: { read: few(1) }, user: {} }, maxInFlight: 500 } },
    );
    stop = () => service.close();
    const headers = { 'x-bfl-user': 'alice', 'x-authorization': await userToken('alice', clock.nowMs()) };
    const proxied = async ({ appKey: appkey }: typeof OTMOICLP): Promise<number> => {
      const op = 'RetrieveSecret?workspace=otmoic';
      const provider = { datatype: 'secret', version: 'v1', group: 'secret.infisical' };
      const body = { op, ...provider, appkey, param: null, data: { name: 'absent' }, Token: 'any' };
      return (await httpCall(`${service.url}/RetrieveSecret`, { headers, body })).status;
    };
    expect([await proxied(OTMOICLP), await proxied(OTMOICLP)]).toEqual([404, 429]);
    expect([await proxied(READER), await proxied(READER)]).toEqual([404, 429]);
  });

  it('charge a large body by its size also through system-server', async () => {
    service = await startService(
      { clock, time, store, grantSource: exampleApps(), peerVerifier: new AlicesSystemServer() },
      { limits: { rates: { app: { write: few(10) }, user: {} }, maxInFlight: 500 } },
    );
    stop = () => service.close();
    const headers = { 'x-bfl-user': 'alice', 'x-authorization': await userToken('alice', clock.nowMs()) };
    const write = async (value: string): Promise<number> => {
      const provider = { datatype: 'secret', version: 'v1', group: 'secret.infisical' };
      const op = 'CreateSecret?workspace=otmoic';
      const body = { op, ...provider, appkey: OTMOICLP.appKey, param: null, data: { name: 'proxied', value }, Token: 'any' }; // prettier-ignore
      return (await httpCall(`${service.url}/CreateSecret`, { headers, body })).status;
    };
    // 300 kB are four times 64 KiB: five writes.
    const large = 'x'.repeat(300_000);
    expect([await write(large), await write(large), await write(large)]).toEqual([200, 409, 429]);
  });

  it('leave capacity for others while the requests of one app hang', async () => {
    await start({ rates: { app: {}, user: {} }, maxInFlight: 8 });
    let open = (): void => undefined;
    store.gate = new Promise((resolve) => (open = resolve));
    const hanging = [call(OTMOICLP), call(OTMOICLP)];
    while (store.calls.length < 2) await new Promise(setImmediate);
    const third = await call(OTMOICLP);
    expect([third.status, third.body.data.reason]).toEqual([429, 'TOO_MANY_REQUESTS']);
    const other = call(BOBS_OTMOICLP);
    open();
    expect((await other).status).toBe(200);
    expect((await Promise.all(hanging)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await call(OTMOICLP)).status).toBe(200);
  });
});
