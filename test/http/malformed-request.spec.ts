import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { answerMalformedRequests } from '../../src/http/server/strict-express.adapter';
import { send } from '../../src/http/server/json-answers';
import { beginCleanup } from '../../src/http/server/request-cleanup';
import { RequestQueue } from '../../src/http/server/request-queue';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { eventually } from '../support/eventually';
import { openSocket } from '../support/raw-exchange';

const HEAD = 'POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n';

describe('a request that is too slow to arrive', () => {
  let server: Server;
  let url: string;
  let socket: Socket;
  let text = '';
  let isClosed = false;
  let done = 0;
  let held = 0;
  beforeEach(async () => {
    text = '';
    isClosed = false;
    done = held = 0;
    const queue = new RequestQueue(new FixedMonotonicTime());
    server = createServer(
      { requestTimeout: 300, headersTimeout: 300, connectionsCheckingInterval: 50, requireHostHeader: false },
      queue.listener((request, response) => {
        const cleanup = beginCleanup(request, response);
        held += 1;
        cleanup.add(() => (held -= 1));
        if (request.url === '/refused') return void response.writeHead(401, { 'Content-Length': 0 }).end();
        if (request.url === '/ended') return send(response.setHeader('Connection', 'close'), 401, ['{}']);
        request.resume().on('end', () => {
          if (cleanup.hasRun) return;
          done += 1;
          response.end('done');
        });
      }),
    );
    answerMalformedRequests(server);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    socket = openSocket(url);
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.once('close', () => (isClosed = true));
  });
  afterEach(async () => {
    socket.destroy();
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });

  it('gets 400 and releases everything; neither its rest nor a request behind it is handled', async () => {
    socket.write(`${HEAD}12345`);
    await eventually(() => expect(text).toContain('HTTP/1.1 400'));
    expect(held).toBe(0);
    socket.write(`67890${HEAD}1234567890`);
    await eventually(() => expect(isClosed).toBe(true));
    expect(done).toBe(0);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it('has its connection closed also where the client keeps its side open', async () => {
    socket.write('POST /slow HT');
    await eventually(() => expect(text).toContain('HTTP/1.1 400'));
    await eventually(() => expect(isClosed).toBe(true));
  });

  it('has its connection closed where that ended with an answer and waits for the rest of the body', async () => {
    socket.write(`${HEAD.replace('slow', 'ended')}12345`);
    await eventually(() => expect(text).toContain('HTTP/1.1 401'));
    // Long before any other time-out would close it.
    await eventually(() => expect(isClosed).toBe(true), 10_000);
    expect(text).not.toContain('400');
  });

  it('gets no second answer where it was answered before its body arrived', async () => {
    socket.write(`${HEAD.replace('slow', 'refused')}12345`);
    await eventually(() => expect(text).toContain('HTTP/1.1 401'));
    await eventually(() => expect(isClosed).toBe(true));
    expect(text).not.toContain('400');
  });

  it('gets no second answer where the rest of its body is malformed', async () => {
    socket.write(
      HEAD.replace('slow', 'refused').replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked'),
    );
    await eventually(() => expect(text).toContain('HTTP/1.1 401'));
    socket.write('ZZ\r\n');
    await eventually(() => expect(isClosed).toBe(true));
    expect(text).not.toContain('400');
  });
});
