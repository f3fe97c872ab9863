import { setTimeout as pause } from 'node:timers/promises';
import { BOBS_OTMOICLP, exampleApps, OTMOICLP, READER } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall, type Answer } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();

describe('an overloaded service', () => {
  const store = new MemorySecretStore();
  let service: Service;
  afterEach(async () => service.close());
  const start = async (bounds: object): Promise<void> => {
    const limits = { ...TEST_SETTINGS.limits, ...bounds };
    service = await startService({ clock, store, grantSource: exampleApps() }, { limits });
  };
  const call = async ({ app, user, ops }: typeof OTMOICLP, body: unknown = {}): Promise<Answer> =>
    httpCall(`${service.url}/RetrieveSecret?workspace=otmoic`, {
      headers: {
        'x-authorization': await userToken(user, clock.nowMs()),
        'x-access-token': await accessToken(app, user, ops, clock.nowMs()),
        'x-request-id': 'r',
        'content-type': 'application/json',
      },
      body,
    });
  /** In real time, as the event loop's own delay is; without a pause, one address would make more connections than it may. */
  const untilAnsweredWith = async (reason: string): Promise<void> => {
    while ((await call(OTMOICLP, '{')).body.data.reason !== reason) await pause(5);
  };
  const probes = async (): Promise<number[]> =>
    Promise.all(
      ['livez', 'readyz'].map(
        async (path) => (await httpCall(`${service.url}/${path}`, { method: 'GET' })).status,
      ),
    );

  it('refuses requests beyond its capacity with 503 and Retry-After, and answers its probes', async () => {
    await start({ maxInFlight: 4 });
    let open = (): void => undefined;
    store.gate = new Promise((resolve) => (open = resolve));
    const settings = {
      method: 'GET',
      headers: { 'x-authorization': await userToken('alice', clock.nowMs()) },
    };
    const hanging = [
      ...[OTMOICLP, READER, BOBS_OTMOICLP].map((app) => call(app, { name: 'k' })),
      httpCall(`${service.url}/admin/secret/otmoiclp`, settings),
    ];
    while (store.calls.length < 4) await new Promise(setImmediate);
    const refused = await call(BOBS_OTMOICLP, { name: 'k' });
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    expect(refused.body).toEqual({
      code: 503,
      message: 'This instance has more to do than it can at the moment; try again.',
      data: { reason: 'OVERLOADED', requestId: 'r' },
    });
    expect(await probes()).toEqual([200, 200]);
    open();
    await Promise.all(hanging);
    expect((await call(BOBS_OTMOICLP, '{')).status).toBe(400);
  });

  it('refuses requests while its event loop runs late, and no longer', async () => {
    await start({ maxLoopDelayMs: 40 });
    const blocking = setInterval(() => {
      const untilMs = performance.now() + 150;
      while (performance.now() < untilMs);
    }, 1);
    try {
      await untilAnsweredWith('OVERLOADED');
      expect(await probes()).toEqual([200, 200]);
    } finally {
      clearInterval(blocking);
    }
    await untilAnsweredWith('INVALID_REQUEST');
  });
});
