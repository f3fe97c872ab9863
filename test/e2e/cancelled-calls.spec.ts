import type { Socket } from 'node:net';
import { CachedSecretStore } from '../../src/stores/cached/cached.secret-store';
import { NoInvalidationBus } from '../../src/stores/cached/invalidation-bus';
import { createInfisicalSecretStore } from '../support/infisical-store';
import type { QueueFigures } from '../../src/stores/resilience/circuit-breaker.secret-store';
import { resilientStore } from '../../src/stores/resilience/concurrency-limit.secret-store';
import { SystemMonotonicTime } from '../../src/time/clock';
import { eventually } from '../support/eventually';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { openSocket } from '../support/raw-exchange';
import { RunningClock } from '../support/running-clock';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { StoreClient } from '../support/store-client';
import { accessToken, userToken } from '../support/tokens';

const SCOPE = { user: 'alice', workspace: 'otmoic', environment: 'prod' } as const;
const LIST = '/api/v3/secrets/raw';
const SECRET = '/api/v3/secrets/raw/{name}';
/** How many calls of one workspace the concurrency limit lets through at once. */
const AT_ONCE = 4;

describe('a client that hangs up while its call is with the store', () => {
  const time = new SystemMonotonicTime();
  let fake: FakeInfisical;
  let service: Service;
  let credentials: Record<string, string>;
  let queue: () => QueueFigures;
  beforeEach(async () => {
    fake = await FakeInfisical.start({ apiVersion: 'v3' });
    const { clientId, clientSecret } = fake.identity;
    const options = { url: fake.url, clientId, clientSecret, apiVersion: 'v3' } as const;
    const clock = new RunningClock();
    const observer = {
      queueOpened: (figures: () => QueueFigures) => void (queue = figures),
      permitRefused: () => undefined,
      breakerOpened: () => undefined,
      breakerBecame: () => undefined,
    };
    const infisical = createInfisicalSecretStore(options, clock);
    const resilient = resilientStore(infisical, 20_000, { time, log: () => undefined, observer });
    const cache = { ttlMs: 1, maxStaleMs: 0, maxEntries: 100, maxBytes: 1_000_000 };
    const store = new CachedSecretStore(resilient, cache, { time, invalidationBus: new NoInvalidationBus() });
    await new StoreClient(store).create(SCOPE, { name: 'k', value: 'v' });
    const infisicalSettings = { kind: 'infisical', ...options, timeoutMs: 20_000 } as const;
    const adapters = { clock, store, grantSource: exampleApps() };
    service = await startService(adapters, { ...TEST_SETTINGS, store: infisicalSettings });
    credentials = {
      'x-authorization': await userToken('alice', clock.nowMs()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
    };
    fake.calls.splice(0);
  });
  afterEach(async () => {
    await service.close();
    await fake.close();
  });

  function send(operation: string, body: object): Socket {
    const text = JSON.stringify(body);
    const headers = { host: 'x', 'content-type': 'application/json', 'content-length': `${text.length}` };
    const lines = Object.entries({ ...headers, ...credentials }).map(([name, value]) => `${name}: ${value}`);
    const socket = openSocket(service.url);
    socket.write(`POST /${operation}?workspace=otmoic HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${text}`);
    return socket;
  }
  const count = (method: string, template: string) => fake.count(method, template);
  const slow = (method: string, template: string, ms: number, times = 99) =>
    fake.fail({ method, template, times, fault: { kind: 'delay', ms } });

  it('leaves the queue: the call is never sent, and the permits of the others are back afterwards', async () => {
    // The store writes a workspace one call after the other: the others wait with their permits.
    slow('POST', SECRET, 3_000, 1);
    const writes = Array.from({ length: AT_ONCE }, (_, n) =>
      send('CreateSecret', { name: `a${n}`, value: 'v' }),
    );
    await eventually(() => expect(queue()).toEqual({ waiting: 0, underWay: AT_ONCE }));
    const gone = send('CreateSecret', { name: 'gone', value: 'v' });
    await eventually(() => expect(queue().waiting).toBe(1));
    gone.destroy();
    await eventually(() => expect(queue()).toEqual({ waiting: 0, underWay: AT_ONCE }));
    await eventually(() => expect(queue()).toEqual({ waiting: 0, underWay: 0 }));
    for (const socket of writes) socket.destroy();
    const names = fake.world.projects.flatMap(({ environments }) =>
      environments.flatMap(({ secrets }) => secrets.map(({ key }) => key)),
    );
    expect(names.sort()).toEqual(['a0', 'a1', 'a2', 'a3', 'k']);
  }, 30_000);

  it('aborts its read, and the permit is back at once', async () => {
    slow('GET', LIST, 10_000);
    const socket = send('RetrieveSecret', { name: 'k' });
    await eventually(() => expect(count('GET', LIST)).toBe(1));
    expect(queue().underWay).toBe(1);
    socket.destroy();
    await eventually(() => expect(queue()).toEqual({ waiting: 0, underWay: 0 }), 8_000);
  }, 30_000);

  it('leaves a read to the others that wait for it', async () => {
    slow('GET', LIST, 500);
    const socket = send('RetrieveSecret', { name: 'k' });
    await eventually(() => expect(count('GET', LIST)).toBe(1));
    const other = httpCall(`${service.url}/RetrieveSecret?workspace=otmoic`, {
      headers: credentials,
      body: { name: 'k' },
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    expect((await other).body.data).toEqual({ name: 'k', value: 'v', env: 'prod' });
    expect(count('GET', LIST)).toBe(1);
  }, 30_000);

  it('does not stop a write that was sent', async () => {
    slow('PATCH', SECRET, 500);
    const socket = send('UpdateSecret', { name: 'k', value: 'new' });
    await eventually(() => expect(count('PATCH', SECRET)).toBe(1));
    socket.destroy();
    await eventually(() => expect(queue()).toEqual({ waiting: 0, underWay: 0 }));
    const answer = await httpCall(`${service.url}/RetrieveSecret?workspace=otmoic`, {
      headers: credentials,
      body: { name: 'k' },
    });
    expect(answer.body.data.value).toBe('new');
  }, 30_000);
});
