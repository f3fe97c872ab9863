import { once } from 'node:events';
import { shutDown } from '../../src/bootstrap/application';
import { WatchedFiles } from '../../src/reloadable/reloadable';
import { eventually } from '../support/eventually';
import { OTMOICLP, exampleApps } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket } from '../support/raw-exchange';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

describe('on SIGTERM', () => {
  const clock = new FixedClock();
  let store: MemorySecretStore;
  let service: Service;
  let open: () => void;
  beforeEach(async () => {
    store = new MemorySecretStore();
    store.gate = new Promise((resolve) => (open = resolve));
    service = await start(20_000);
  });
  afterEach(async () => {
    open();
    await service.close();
  });

  const start = (shutdownTimeoutMs: number) =>
    startService({ clock, store, grantSource: exampleApps() }, { shutdownTimeoutMs });
  const list = async (url = service.url): Promise<Answer> =>
    httpCall(`${url}/ListSecret?workspace=otmoic`, {
      headers: {
        'x-request-id': 'r1',
        'x-authorization': await userToken('alice', clock.nowMs()),
        'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
      },
      body: {},
    });
  const inFlight = async (): Promise<void> => {
    while (store.calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const health = async (path: string): Promise<number> =>
    (await httpCall(service.url + path, { method: 'GET' })).status;

  it('lets requests in flight end, refuses new ones with 503, then closes the adapters', async () => {
    const first = list();
    await inFlight();
    const stopped = shutDown(service.app);
    const refused = await list();
    expect([
      refused.status,
      refused.headers.connection,
      refused.headers['retry-after'],
      refused.body,
    ]).toEqual([
      503,
      'close',
      '1',
      {
        code: 503,
        message: 'This instance is shutting down; try again.',
        data: { reason: 'SHUTTING_DOWN', requestId: 'r1' },
      },
    ]);
    expect([await health('/livez'), await health('/readyz')]).toEqual([200, 503]);
    expect(store.calls).not.toContain('close');
    open();
    expect((await first).body).toEqual({ code: 200, message: '', data: [] });
    expect(await stopped).toBe(true);
    expect(store.calls.at(-1)).toBe('close');
    await expect(list()).rejects.toThrow(/ECONNREFUSED/);
  });

  it('ends registering before it drains, and closes what it opened in the reverse order', async () => {
    const order: string[] = [];
    const noted = (what: string) => async () => void order.push(what);
    const files = new WatchedFiles(clock, new FixedMonotonicTime(), () => undefined);
    const registration = {
      start: () => undefined,
      problems: () => [],
      failing: () => new Map<string, number>(),
    };
    const adapters = {
      clock,
      store: Object.assign(store, { close: noted('store') }),
      grantSource: Object.assign(exampleApps(), { close: noted('grants') }),
      telemetry: { listen: () => Promise.resolve(undefined), close: noted('telemetry') },
      registration: { ...registration, close: noted('registration') },
      files: Object.assign(files, { close: () => void order.push('files') }),
    };
    const stopping = await startService(adapters, { shutdownTimeoutMs: 20_000 });
    const first = list(stopping.url);
    await inFlight();
    const stopped = shutDown(stopping.app);
    await eventually(() => expect(order).toEqual(['registration']));
    expect((await list(stopping.url)).status).toBe(503);
    open();
    expect((await first).status).toBe(200);
    expect(await stopped).toBe(true);
    expect(order).toEqual(['registration', 'store', 'grants', 'telemetry', 'files']);
  });

  it('ends within the configured time although a request hangs', async () => {
    const ending = await start(200);
    const hanging = list(ending.url).catch((error: NodeJS.ErrnoException) => error.code);
    await inFlight();
    const began = Date.now();
    expect(await shutDown(ending.app)).toBe(false);
    expect(Date.now() - began).toBeLessThan(1500);
    expect(await hanging).toBe('ECONNRESET');
    const line = { msg: 'request_completed', code: 503, reason: 'SHUTTING_DOWN', completed: false };
    await eventually(() => expect(ending.logLines()).toContainEqual(expect.objectContaining(line)));
  });

  it('ends at once where nothing is in flight, and closes connections that are silent or kept for more', async () => {
    const [silent, kept] = [openSocket(service.url).resume(), openSocket(service.url).resume()];
    await once(silent, 'connect');
    kept.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(String(await once(kept, 'data'))).toMatch(/^HTTP\/1.1 200 .*^Connection: keep-alive/ms);
    const closed = Promise.all([once(silent, 'close'), once(kept, 'close')]);
    const began = Date.now();
    expect(await shutDown(service.app)).toBe(true);
    expect(Date.now() - began).toBeLessThan(2500);
    await closed;
  });
});
