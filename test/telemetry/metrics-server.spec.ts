import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Metrics } from '../../src/telemetry/metrics';
import { serveMetrics, type MetricsServer } from '../../src/telemetry/metrics-server';
import { eventually } from '../support/eventually';
import { httpCall } from '../support/http-call';

describe('the port of metrics and probes', () => {
  const metrics = new Metrics();
  const sockets: Socket[] = [];
  let server: MetricsServer;
  let url: string;
  let probed: number;
  let probedOver: Socket | undefined;
  let answer: string;
  let held: Promise<void>;
  beforeEach(async () => {
    probed = 0;
    answer = 'alive';
    held = Promise.resolve();
    probedOver = undefined;
    const probes: RequestListener = (request, response) => {
      probed += 1;
      probedOver = request.socket;
      void held.then(() => response.end(answer));
    };
    server = await serveMetrics(metrics, probes, { host: '127.0.0.1', port: 0 });
    url = `http://127.0.0.1:${server.port}`;
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await server.close();
  });

  /** Sends the text and collects what comes until the connection ends. */
  const conversation = async (text: string): Promise<string> => {
    const socket = connect(server.port, '127.0.0.1');
    sockets.push(socket);
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    socket.on('error', () => undefined);
    socket.write(text);
    await once(socket, 'close');
    return received;
  };

  it('closes connections of clients that send nothing or half a head within 7 s, and of those that do not read within 12 s', async () => {
    const beganMs = performance.now();
    const slow = ['', 'GET /livez HTTP/1.1\r\nHost: x\r\n'].map(async (text) => {
      await conversation(text);
      expect(performance.now() - beganMs).toBeLessThan(7_000);
    });
    const deaf = connect(server.port, '127.0.0.1').pause();
    sockets.push(deaf);
    // More than the system's buffers hold.
    answer = 'x'.repeat(50_000_000);
    deaf.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => expect(probedOver).toBeDefined());
    await once(probedOver as Socket, 'close');
    expect(performance.now() - beganMs).toBeLessThan(12_000);
    await Promise.all(slow);
  }, 20_000);

  it.each([
    ['one address', 300, () => '127.0.0.2'],
    ['three addresses', 300, (at: number) => `127.0.0.${2 + (at % 3)}`],
    ['a hundred addresses', 300, (at: number) => `127.0.1.${at % 100}`],
    ['three hundred addresses', 300, (at: number) => `127.0.${2 + (at % 3)}.${at % 100}`],
  ])('has a connection for a probe while idle ones of %s flood it', async (_, many, addressOf) => {
    for (let at = 0; at < many; at++) {
      const options = { port: server.port, host: '127.0.0.1', localAddress: addressOf(at) };
      const idle = connect(options).on('error', () => undefined);
      sockets.push(idle);
      await once(idle, 'connect');
      if (at % 20 === 0) expect((await httpCall(`${url}/livez`, { method: 'GET' })).status).toBe(200);
    }
    await eventually(async () => {
      const held = await Promise.all(sockets.map(async (socket) => !(await isOver(socket))));
      expect(held.filter(Boolean).length).toBeLessThanOrEqual(64);
    });
  });

  it('lets a running probe end, whatever other clients do meanwhile', async () => {
    let release: () => void = () => undefined;
    held = new Promise((resolve) => (release = resolve));
    const probe = httpCall(`${url}/readyz`, { method: 'GET' });
    await eventually(() => expect(probed).toBe(1));
    for (let at = 0; at < 300; at++) {
      const options = { port: server.port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (at % 3)}` };
      const idle = connect(options).on('error', () => undefined);
      sockets.push(idle);
      await once(idle, 'connect');
    }
    release();
    expect((await probe).status).toBe(200);
  });

  it('answers one request for each connection, closes it, and drops pipelined requests', async () => {
    const beganMs = performance.now();
    const received = await conversation(
      'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n'.repeat(50),
    );
    expect(performance.now() - beganMs).toBeLessThan(2_000);
    expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)*Connection: close\r\n/i);
    expect([received.match(/ 200 OK/g)?.length, probed]).toEqual([1, 1]);
  });

  it.each(['GET / HTTP/1.1\r\n\r\n', 'GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'])(
    'makes two requests of thousands that come in one packet: %j',
    async (request) => {
      let made = 0;
      const count = (): void => void (made += 1);
      subscribe('http.server.request.start', count);
      await conversation(request.repeat(1_000)).finally(() =>
        unsubscribe('http.server.request.start', count),
      );
      expect(made).toBe(2);
    },
  );

  it.each([
    ['a body', 413, 'Content-Length: 5\r\n\r\nhello'],
    ['a body that is only announced', 413, 'Content-Length: 5\r\n\r\n'],
    ['a body in chunks', 413, 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['more than 100 headers', 431, `${'A: b\r\n'.repeat(100)}\r\n`],
    ['more headers than Node would keep', 431, `${'A:\r\n'.repeat(1_500)}\r\n`],
    ['more than 8 KiB of headers', 431, `A: ${'b'.repeat(9_000)}\r\n\r\n`],
  ])('refuses %s with %d, and looks at nothing', async (_, status, rest) => {
    for (const path of ['/livez', '/metrics']) {
      const received = await conversation(`GET ${path} HTTP/1.1\r\nHost: x\r\n${rest}`);
      expect(received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    }
    expect(probed).toBe(0);
  });

  it('accepts an empty body, which some clients send', async () => {
    const got = await httpCall(`${url}/livez`, { method: 'GET', headers: { 'content-length': '0' } });
    expect([got.status, got.text]).toEqual([200, 'alive']);
  });

  it('computes the metrics once for concurrent requests, and again for later ones', async () => {
    let collected = 0;
    metrics.figure('osp_connections', () => (collected += 1));
    const texts = await Promise.all(Array.from({ length: 20 }, () => metrics.exposition()));
    expect([new Set(texts).size, collected]).toEqual([1, 1]);
    expect((await httpCall(`${url}/metrics`, { method: 'GET' })).status).toBe(200);
    expect(collected).toBe(2);
  });
});

/** Whether the server ended it; a reset or an end that is under way arrives before an answer to what is sent now. */
async function isOver(socket: Socket): Promise<boolean> {
  if (socket.destroyed) return true;
  socket.resume().write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
  const [first] = await Promise.race([
    once(socket, 'data').catch(() => [undefined]),
    once(socket, 'close').catch(() => [undefined]),
  ]);
  return !Buffer.isBuffer(first);
}
