import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { userToken } from '../support/tokens';

const clock = new FixedClock();
const SETTINGS = 'settings.alice.olares.example';
const SIBLING = 'notes.alice.olares.example';
const JSON_BODY = { 'content-type': 'application/json' };

type Headers = Readonly<Record<string, string | string[]>>;

describe('the Settings routes with the login cookie', () => {
  let store: MemorySecretStore;
  let service: Service;
  let alice: string;
  let bob: string;
  beforeAll(async () => {
    store = new MemorySecretStore();
    service = await startService({ clock, store, grantSource: exampleApps() });
    [alice, bob] = [await userToken('alice', clock.nowMs()), await userToken('bob', clock.nowMs())];
  });
  afterAll(async () => service.close());
  beforeEach(() => store.calls.splice(0));

  const send = (method: string, headers: Headers, body?: unknown): Promise<Answer> =>
    httpCall(`${service.url}/admin/secret/otmoiclp`, {
      method,
      headers: { host: SETTINGS, ...headers },
      body,
    });
  /** What a browser sends by itself beside the cookie. */
  const browser = (headers: Headers, cookie = `auth_token=${alice}`): Headers => ({
    cookie: `lang=en; ${cookie}; theme=dark`,
    ...headers,
  });
  const outcomeOf = ({ status, body }: Answer) => [status, body.data.reason, body.data.header];

  it.each<[string, () => Headers]>([
    ['without any header of a browser', () => ({})],
    ['from its own page', () => ({ origin: `https://${SETTINGS}`, 'sec-fetch-site': 'same-origin' })],
    ['from its own page over plain http', () => ({ origin: `http://${SETTINGS}` })],
    ['from its own page at a port', () => ({ host: `${SETTINGS}:8443`, origin: `https://${SETTINGS}:8443` })],
    [
      'where Host names the scheme’s port',
      () => ({ host: `${SETTINGS}:443`, origin: `https://${SETTINGS}` }),
    ],
    ['where Host is in capitals', () => ({ host: SETTINGS.toUpperCase(), origin: `https://${SETTINGS}` })],
    ['from an address in brackets', () => ({ host: '[fd00::1]:81', origin: 'http://[fd00::1]:81' })],
    [
      'where the frontend changed Host and says so',
      () => ({ host: 'provider:8080', 'x-forwarded-host': SETTINGS, origin: `https://${SETTINGS}` }),
    ],
  ])('read and write %s', async (_, headers) => {
    const sent = browser(headers());
    expect((await send('GET', sent)).status).toBe(200);
    expect((await send('POST', sent, { Key: 'k', Value: 'v' })).status).toBe(200);
    expect((await send('PUT', sent, { Key: 'k', Value: 'w' })).status).toBe(200);
    expect((await send('DELETE', sent, { Key: 'k' })).status).toBe(200);
  });

  it('answer an address that the user typed, which is read only', async () => {
    expect((await send('GET', browser({ 'sec-fetch-site': 'none' }))).status).toBe(200);
  });

  it.each<[string, Headers, string]>([
    ['another site’s origin', { origin: 'https://evil.example' }, 'Origin'],
    ['the origin of another app of the user', { origin: `https://${SIBLING}` }, 'Origin'],
    ['the origin of the site above', { origin: 'https://alice.olares.example' }, 'Origin'],
    ['an origin that begins like its own', { origin: `https://${SETTINGS}.evil.example` }, 'Origin'],
    ['its own host at another port', { origin: `https://${SETTINGS}:8443` }, 'Origin'],
    ['the port of another scheme', { host: `${SETTINGS}:80`, origin: `https://${SETTINGS}` }, 'Origin'],
    ['an opaque origin', { origin: 'null' }, 'Origin'],
    ['an empty origin', { origin: '' }, 'Origin'],
    ['an origin with a path', { origin: `https://${SETTINGS}/` }, 'Origin'],
    ['an origin with a user', { origin: `https://${SETTINGS}@evil.example` }, 'Origin'],
    ['an origin of an extension', { origin: 'chrome-extension://abcdefgh' }, 'Origin'],
    ['an origin without a scheme', { origin: SETTINGS }, 'Origin'],
    ['two origins', { origin: [`https://${SETTINGS}`, 'https://evil.example'] }, 'Origin'],
    [
      'a list of forwarded hosts',
      { host: 'x', 'x-forwarded-host': `${SETTINGS}, y`, origin: `https://${SETTINGS}` },
      'Origin',
    ],
    [
      'a host that changes the meaning of the address',
      { host: 'x', 'x-forwarded-host': `x@${SETTINGS}`, origin: `https://${SETTINGS}` },
      'Origin',
    ],
    ['a request of another site', { 'sec-fetch-site': 'cross-site' }, 'Sec-Fetch-Site'],
    ['a request of another app of the user', { 'sec-fetch-site': 'same-site' }, 'Sec-Fetch-Site'],
    [
      'a request of another site that states our origin',
      { 'sec-fetch-site': 'cross-site', origin: `https://${SETTINGS}` },
      'Sec-Fetch-Site',
    ],
    ['an unknown kind of site', { 'sec-fetch-site': 'same-origin, none' }, 'Sec-Fetch-Site'],
  ])('refuse %s, for reads and for writes', async (_, headers, header) => {
    const refused = [403, 'CROSS_SITE_REQUEST', header];
    expect(outcomeOf(await send('GET', browser(headers)))).toEqual(refused);
    for (const method of ['POST', 'PUT', 'DELETE'])
      expect(outcomeOf(await send(method, browser(headers), { Key: 'k', Value: 'v' }))).toEqual(refused);
    expect(store.calls).toEqual([]);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', ''])(
    'refuse a write whose content type is %j, which a form of another page can send',
    async (type) => {
      for (const method of ['POST', 'PUT', 'DELETE']) {
        const answer = await send(method, browser({ 'content-type': type }), { Key: 'k', Value: 'v' });
        expect(outcomeOf(answer)).toEqual([403, 'CROSS_SITE_REQUEST', 'Content-Type']);
      }
      expect(store.calls).toEqual([]);
    },
  );

  it('refuse a write without a body and without a content type', async () => {
    expect(outcomeOf(await send('DELETE', browser({})))).toEqual([403, 'CROSS_SITE_REQUEST', 'Content-Type']);
  });

  it.each<[string, () => Headers]>([
    ['two users in two cookies', () => browser({}, `auth_token=${alice}; auth_token=${bob}`)],
    ['the same cookie twice', () => browser({}, `auth_token=${alice}; auth_token=${alice}`)],
    ['a second cookie with a blank behind its name', () => browser({}, `auth_token=${alice}; auth_token =x`)],
    ['another user in the header', () => browser({ 'x-authorization': bob })],
    ['another user in the cookie', () => browser({ 'x-authorization': alice }, `auth_token=${bob}`)],
    [
      'one of two cookies that is not the header',
      () => browser({ 'x-authorization': alice }, `auth_token=${alice}; auth_token=${bob}`),
    ],
  ])('refuse %s', async (_, headers) => {
    const answer = await send('POST', { ...headers(), ...JSON_BODY }, { Key: 'k', Value: 'v' });
    expect([answer.status, answer.body.data]).toMatchObject([401, { credential: 'Cookie' }]);
    expect(store.calls).toEqual([]);
  });

  it('refuse two Cookie headers with a login each', async () => {
    const headers = { cookie: [`auth_token=${alice}`, `auth_token=${bob}`] };
    expect((await send('GET', headers)).status).toBe(401);
    expect(store.calls).toEqual([]);
  });

  it('answer a browser whose page sends the same token in the header too, since it attaches the cookie by itself', async () => {
    expect((await send('GET', browser({ 'x-authorization': alice }))).status).toBe(200);
  });

  it.each<[string, () => string]>([
    ['an empty login cookie', () => 'auth_token='],
    ['a forged one', () => 'auth_token=x'],
    ['one of another name', () => `Auth_Token=${alice}`],
    ['one in quotes', () => `auth_token="${alice}"`],
    ['one without a name', () => alice],
  ])('refuse %s', async (_, cookie) => {
    const answer = await send('GET', browser({}, cookie()));
    expect([answer.status, answer.body.data]).toMatchObject([401, { credential: 'X-Authorization' }]);
    expect(store.calls).toEqual([]);
  });

  it('allow no preflight of another origin', async () => {
    const answer = await send('OPTIONS', {
      origin: `https://${SIBLING}`,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    });
    expect(answer.status).toBe(404);
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it.each(SECRET_OPERATIONS)('are the only ones that accept the cookie: %s does not', async (operation) => {
    const answer = await httpCall(`${service.url}/${operation}?workspace=otmoic`, {
      headers: browser({ origin: `https://${SETTINGS}` }),
      body: { name: 'k' },
    });
    expect([answer.status, answer.body.data.credential]).toEqual([401, 'X-Authorization']);
    expect(store.calls).toEqual([]);
  });

  it('never log the cookie', () => {
    expect(service.log()).not.toContain(alice);
  });
});

describe('the rate limit of a user behind the login cookie', () => {
  it('is each user’s own, also while the cookies of another are refused early', async () => {
    const limits = {
      rates: { app: {}, user: { read: { perSecond: 1, burst: 1 } } },
      maxInFlight: 100,
    };
    const service = await startService(
      { clock, store: new MemorySecretStore(), grantSource: exampleApps() },
      { limits },
    );
    const read = async (user: string) =>
      (
        await httpCall(`${service.url}/admin/permission/otmoiclp`, {
          method: 'GET',
          headers: { cookie: `auth_token=${await userToken(user, clock.nowMs())}` },
        })
      ).status;
    expect([await read('alice'), await read('alice'), await read('alice'), await read('bob')]).toEqual([
      200, 429, 429, 200,
    ]);
    await service.close();
  });
});
