import { setTimeout as pause } from 'node:timers/promises';
import { BOBS_OTMOICLP, exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket, rawExchange } from '../support/raw-exchange';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();
const MEBIBYTE = 1_048_576;

describe('the body of a request', () => {
  const store = new MemorySecretStore();
  let service: Service;
  let headersOf: (app: typeof OTMOICLP) => Promise<Record<string, string>>;
  beforeAll(async () => {
    service = await startService(
      { clock, store, grantSource: exampleApps() },
      { limits: { ...TEST_SETTINGS.limits, maxInFlight: 100 } },
    );
    headersOf = async ({ app, user, ops }) => ({
      'x-authorization': await userToken(user, clock.nowMs()),
      'x-access-token': await accessToken(app, user, ops, clock.nowMs()),
    });
  });
  afterAll(() => service.close());

  const rawHead = (target: string, length: number, headers: Record<string, string> = {}) =>
    `POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n` +
    `${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`; // prettier-ignore

  it.each([
    ['/CreateSecret?workspace=otmoic', 401],
    ['/RetrieveSecret?workspace=otmoic', 401],
    ['/system-server/v1alpha1/secret/secret.infisical/v1/CreateSecret?workspace=otmoic', 200],
    ['/user/delete', 401],
    ['/livez', 404],
    ['/readyz', 404],
    ['/no/such/route', 404],
  ])('of a stranger is not waited for: %s is answered by its head alone', async (target, status) => {
    const [answer] = await rawExchange(service.url, rawHead(target, 60_000));
    expect(answer?.status).toBe(status);
  });

  it.each([
    ['three megabytes of brackets', '/CreateSecret', '['.repeat(3 * MEBIBYTE)],
    ['brackets on a route without values', '/RetrieveSecret', '['.repeat(60_000)],
    ['a deep object', '/ListSecret', `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`],
    ['a deep field', '/RetrieveSecret', `{"name":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
    ['a deep environment', '/ListSecret', `{"env":[[["prod"]]]}`],
    [
      'more fields than any request has',
      '/RetrieveSecret',
      `{${Array.from({ length: 5_000 }, (_, at) => `"k${at}":1`).join()}}`,
    ],
  ])('of an app that is %s is 400, and its event loop goes on', async (_title, path, body) => {
    const headers = { ...(await headersOf(OTMOICLP)), 'content-type': 'application/json' };
    const beganMs = performance.now();
    const answer = await httpCall(`${service.url}${path}?workspace=otmoic`, { headers, body });
    expect([answer.status, answer.body.data.reason]).toEqual([400, 'INVALID_REQUEST']);
    expect(performance.now() - beganMs).toBeLessThan(1_000);
  });

  it('gets no second answer where it ends before its announced length', async () => {
    const answers = await new Promise<string>((resolve) => {
      const socket = openSocket(service.url);
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('close', () => resolve(text));
      socket.end(rawHead('/CreateSecret?workspace=otmoic', 100) + '{');
    });
    expect(answers.match(/HTTP\/1\.1 \d+/g)?.length ?? 0).toBeLessThanOrEqual(1);
  });

  it('counts among the requests in flight only once it has arrived completely', async () => {
    const headers = await headersOf(OTMOICLP);
    const waiting = Array.from({ length: 120 }, () => openSocket(service.url, '127.0.0.2'));
    for (const socket of waiting) socket.write(rawHead('/RetrieveSecret?workspace=otmoic', 10, headers));
    // All of them were looked at when one that came later is.
    for (let at = 0; at < 3; at += 1) {
      const answer = await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers });
      expect(answer.status).toBe(200);
    }
    for (const socket of waiting) socket.destroy();
  });

  it('takes memory from the share of its own app, and returns it', async () => {
    const [alices, bobs] = [await headersOf(OTMOICLP), await headersOf(BOBS_OTMOICLP)];
    const slow = Array.from({ length: 20 }, () => openSocket(service.url, '127.0.0.2'));
    for (const socket of slow)
      socket.write(rawHead('/CreateSecret?workspace=otmoic', MEBIBYTE, alices) + '{');
    /** 404 where the body was read, for there is no such secret. */
    const update = async (headers: Record<string, string>) => {
      const body = { name: 'k', value: 'x'.repeat(400_000) };
      return (await httpCall(`${service.url}/UpdateSecret?workspace=otmoic`, { headers, body })).status;
    };
    while ((await update(alices)) !== 429) await new Promise(setImmediate);
    expect(await update(bobs)).toBe(404);
    for (const socket of slow) socket.destroy();
    while ((await update(alices)) !== 404) await pause(5);
  });

  it('of unauthenticated callers takes memory from the share of their address, and none from apps', async () => {
    const target = '/permission/v1alpha1/access';
    const slow = Array.from({ length: 40 }, () => openSocket(service.url, '127.0.0.2'));
    for (const socket of slow) socket.write(rawHead(target, 60_000) + '{');
    const ask = async (from: string) =>
      (await httpCall(`${service.url}${target}`, { from, body: { fill: 'x'.repeat(50_000) } })).status;
    while ((await ask('127.0.0.2')) !== 429) await new Promise(setImmediate);
    expect(await ask('127.0.0.3')).toBe(200);
    const headers = await headersOf(OTMOICLP);
    expect(
      (await httpCall(`${service.url}/ListSecret?workspace=otmoic`, { headers, from: '127.0.0.2' })).status,
    ).toBe(200);
    for (const socket of slow) socket.destroy();
    while ((await ask('127.0.0.2')) === 429) await pause(5);
  });
});
