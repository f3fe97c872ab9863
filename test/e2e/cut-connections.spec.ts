import { once } from 'node:events';
import type { Socket } from 'node:net';
import { FixedClock } from '../support/fixed-clock';
import { eventually } from '../support/eventually';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket } from '../support/raw-exchange';
import { startService, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

const clock = new FixedClock();

describe('a connection that the service cuts off', () => {
  const shed: string[] = [];
  const store = new MemorySecretStore();
  let service: Service;
  let head: string;
  beforeAll(async () => {
    const limits = {
      opened: () => undefined,
      connectionsOpened: () => undefined,
      refused: () => undefined,
      shed: (why: string) => void shed.push(why),
    };
    const telemetry = { limits, listen: async () => undefined, close: async () => undefined };
    service = await startService({ clock, store, grantSource: exampleApps(), telemetry });
    const token = await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs());
    head = [
      'POST /ListSecret?workspace=otmoic HTTP/1.1',
      'Host: x',
      `X-Authorization: ${await userToken('alice', clock.nowMs())}`,
      `X-Access-Token: ${token}`,
      'Content-Type: application/json',
      '',
    ].join('\r\n');
  });
  afterAll(() => service.close());
  beforeEach(() => void (shed.length = 0));

  const lines = (): Record<string, unknown>[] =>
    service.logLines().filter(({ msg }) => msg === 'request_completed');
  const completed = (): unknown[] =>
    lines().map(({ code, reason, completed: isCompleted }) => ({ code, reason, completed: isCompleted }));

  it('since a body comes in too many short pieces is counted, and logged with that reason and not as a client that has gone', async () => {
    const before = completed().length;
    const socket = openSocket(service.url);
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`);
    const closed = once(socket, 'close');
    const sending = setInterval(() => socket.write('1\r\n \r\n'.repeat(50)), 5);
    await closed;
    clearInterval(sending);
    await eventually(() => expect(completed().slice(before)).toEqual([{ code: 400, reason: 'INVALID_REQUEST', completed: false }])); // prettier-ignore
    expect(shed).toEqual(['pieces']);
  });

  it('since more requests are open on it than a client needs is counted, and each begun one logged with that reason', async () => {
    const before = completed().length;
    let open = (): void => undefined;
    store.gate = new Promise((resolve) => (open = resolve));
    const socket = openSocket(service.url);
    const closed = once(socket, 'close');
    const request = `${head}Content-Length: 2\r\n\r\n{}`;
    socket.write(request);
    await eventually(() => expect(store.calls).toHaveLength(1));
    socket.write(request.repeat(12));
    await closed;
    open();
    await eventually(() => expect(completed().slice(before)).toContainEqual({ code: 429, reason: 'TOO_MANY_REQUESTS', completed: false })); // prettier-ignore
    expect(JSON.stringify(completed().slice(before))).not.toContain('CLIENT_GONE');
    expect(shed).toEqual(['pipelined']);
  });

  it('since a chunk of a body is malformed is logged with that reason', async () => {
    const before = completed().length;
    const socket = openSocket(service.url);
    const closed = once(socket, 'close');
    const arrived = once(service.app.getHttpServer(), 'request');
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`);
    const [request] = await arrived;
    await eventually(() => expect(request.id).toBeDefined());
    socket.write('ZZ\r\n');
    await closed;
    await eventually(() => expect(completed().slice(before)).toEqual([{ code: 400, reason: 'INVALID_REQUEST', completed: false }])); // prettier-ignore
  });

  it('since a body is too slow has its 400 before, by whose id the log knows the request', async () => {
    const server = service.app.getHttpServer();
    const { requestTimeout } = server;
    server.requestTimeout = 300;
    const socket = openSocket(service.url);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const closed = once(socket, 'close');
    socket.write(`${head}X-Request-Id: slow-one\r\nContent-Length: 100\r\n\r\n{`);
    await closed;
    server.requestTimeout = requestTimeout;
    expect(text).toMatch(/^HTTP\/1\.1 400 [^]*\r\nX-Request-Id: slow-one\r\n/);
    const { message, data } = JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
    expect(data).toMatchObject({ reason: 'INVALID_REQUEST', requestId: 'slow-one' });
    expect(message).toContain('within 30 s');
    await eventually(() => expect(lines().filter(({ requestId }) => requestId === 'slow-one')).toMatchObject([{ code: 400, reason: 'INVALID_REQUEST' }])); // prettier-ignore
  });

  it('since a head is too slow is told the time that heads have', async () => {
    const server = service.app.getHttpServer();
    const { headersTimeout } = server;
    server.headersTimeout = 300;
    const socket = openSocket(service.url);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const closed = once(socket, 'close');
    socket.write('POST /ListSecret HTTP/1.1\r\n');
    await closed;
    server.headersTimeout = headersTimeout;
    expect(text).toMatch(/^HTTP\/1\.1 400 [^]*within 10 s/);
  });

  it('since too many bodies of its address wait to be discarded is logged as what is too much', async () => {
    const before = completed().length;
    const bytes = 1024 * 1024;
    const sockets: Socket[] = Array.from({ length: 40 }, () => openSocket(service.url));
    for (const socket of sockets)
      socket.write(`${head}Content-Length: ${bytes}\r\n\r\n${'x'.repeat(bytes - 1)}`);
    await eventually(() => expect(completed().slice(before)).toContainEqual({ code: 503, reason: 'OVERLOADED', completed: false })); // prettier-ignore
    expect(JSON.stringify(completed().slice(before))).not.toContain('CLIENT_GONE');
    for (const socket of sockets) socket.destroy();
  });
});
