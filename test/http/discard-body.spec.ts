import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { send } from '../../src/http/server/json-answers';
import { eventually } from '../support/eventually';
import { openSocket, rawExchange } from '../support/raw-exchange';

const BODY_BYTES = 3 * 1024 * 1024;
const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`;

describe('the body of a refused request', () => {
  let server: Server;
  let url: string;
  let sockets = new Set<Socket>();
  let accepted = 0;
  beforeEach(async () => {
    accepted = 0;
    const mine = (sockets = new Set());
    server = createServer((_request, response) => send(response, 401, ['{"refused":true}']));
    server.on('connection', (socket) => {
      mine.add(socket);
      accepted += 1;
      socket.once('close', () => mine.delete(socket));
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });

  it('is read to its end, so that the client reads its refusal and may use the connection again', async () => {
    const answers = await rawExchange(url, (head + 'x'.repeat(BODY_BYTES)).repeat(2), '127.0.0.1', 2);
    expect(answers.map(({ status }) => status)).toEqual([401, 401]);
  });

  it('is read at about 20 MB a second for all clients together', async () => {
    const beganMs = performance.now();
    const body = head + 'x'.repeat(BODY_BYTES);
    await Promise.all(['127.0.0.2', '127.0.0.3'].map((from) => rawExchange(url, body.repeat(2), from, 2)));
    // The second answer of each comes behind its first body: 48 chunks of each, 3 ms apart, of which a timer may leave out one.
    expect(performance.now() - beganMs).toBeGreaterThan(2 * 48 * 2);
  });

  it('ends its connection where many bodies of its address wait, while other addresses are still answered', async () => {
    const flood: Socket[] = [];
    for (let at = 0; at < 60; at += 1) {
      const socket = openSocket(url, '127.0.0.2');
      socket.write(head + 'x'.repeat(BODY_BYTES - 1));
      flood.push(socket);
    }
    await eventually(() => expect(accepted).toBe(60));
    await eventually(() => expect(sockets.size).toBeLessThan(20));
    expect(await rawExchange(url, head + 'x'.repeat(BODY_BYTES), '127.0.0.1')).toHaveLength(1);
    for (const socket of flood) socket.destroy();
    await eventually(() => expect(sockets.size).toBe(0), 20_000);
  });
});
