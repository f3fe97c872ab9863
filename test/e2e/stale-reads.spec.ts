import { CachedSecretStore } from '../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../src/stores/cached/invalidation-bus';
import { StoreUnreachable } from '../../src/errors/store-errors';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const time = new FixedMonotonicTime();
const inner = new MemorySecretStore();
let service: Service;
let credentials: Record<string, string>;
beforeAll(async () => {
  const options = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 10, maxBytes: 1_000_000 };
  const store = new CachedSecretStore(inner, options, { time, invalidationBus: new NoInvalidationBus() });
  const grantSource = exampleApps();
  service = await startService({ clock, store, grantSource });
  credentials = {
    'x-authorization': await userToken('alice', clock.nowMs()),
    'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
  };
  await call('CreateSecret', { name: 'k', value: 'v' });
});
afterAll(async () => service.close());

const call = async (operation: string, body: object): Promise<Answer> =>
  httpCall(`${service.url}/${operation}?workspace=otmoic`, { headers: credentials, body });
const namesInSettings = async (): Promise<Answer> =>
  httpCall(`${service.url}/admin/secret/otmoiclp`, {
    method: 'GET',
    headers: { 'x-authorization': String(credentials['x-authorization']) },
  });
const notes = ({ headers }: Answer) => [headers['age'], headers['cache-status']];

describe('an answer from the cache', () => {
  it('has no Cache-Status while it is fresh', async () => {
    expect(notes(await call('RetrieveSecret', { name: 'k' }))).toEqual([undefined, undefined]);
    expect(service.logLines().at(-1)).not.toHaveProperty('staleForMs');
  });

  it('has Age and Cache-Status when the store is unavailable, and is otherwise an ordinary answer', async () => {
    inner.failure = new StoreUnreachable();
    time.advance(12_300);
    const told = ['13', 'olares-secret-provider; hit; ttl=-13; detail=STORE_UNAVAILABLE'];
    const retrieved = await call('RetrieveSecret', { name: 'k' });
    expect([retrieved.status, retrieved.body.data]).toEqual([200, { name: 'k', value: 'v', env: 'prod' }]);
    expect(notes(retrieved)).toEqual(told);
    expect(notes(await call('ListSecret', {}))).toEqual(told);
    expect(notes(await call('RetrieveSecret', { name: 'absent' }))).toEqual(told);
    const names = await namesInSettings();
    expect([names.body.data, notes(names)]).toEqual([[{ Workspace: 'otmoic', Key: 'k' }], told]);
    const logged = service.logLines().filter(({ msg }) => msg === 'request_completed');
    expect(logged.slice(-4).map(({ staleForMs }) => staleForMs)).toEqual([12_300, 12_300, 12_300, 12_300]);
    expect((await httpCall(`${service.url}/readyz`, { method: 'GET' })).status).toBe(200);
  });

  it('is refused to an app without the grant, although it is cached', async () => {
    const other = {
      ...credentials,
      'x-access-token': await accessToken('otmoiclp', 'alice', [], clock.nowMs()),
    };
    const answer = await httpCall(`${service.url}/RetrieveSecret?workspace=otmoic`, {
      headers: other,
      body: { name: 'k' },
    });
    expect(answer.status).toBe(403);
  });

  it('ends with the time to live: a write fails at once, and a read after a minute', async () => {
    expect((await call('UpdateSecret', { name: 'k', value: 'w' })).status).toBe(503);
    time.advance(60_000);
    expect((await call('RetrieveSecret', { name: 'k' })).status).toBe(503);
  });
});

describe('a list with a name whose value the store cannot show', () => {
  it('is an ordinary answer with the name beside its data', async () => {
    inner.failure = undefined;
    time.advance(60_000);
    const list = inner.list.bind(inner);
    inner.list = async (scope) => ({ ...(await list(scope)), unreadable: ['damaged'] });
    const { status, body } = await call('ListSecret', {});
    const data = [{ name: 'k', value: 'v', env: 'prod' }];
    expect([status, body]).toEqual([200, { code: 200, message: '', data, unreadable: ['damaged'] }]);
    inner.list = list;
    time.advance(60_000);
    expect((await call('ListSecret', {})).body).toEqual({ code: 200, message: '', data });
  });
});
