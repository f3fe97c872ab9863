import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { limitConnections } from '../../src/http/server/connection-limit';
import { CONNECTION_BOUNDS } from '../../src/http/server/accepted-connections';
import { beginCleanup, type RequestCleanup } from '../../src/http/server/request-cleanup';
import { secureServer } from '../../src/http/server/secure-server';
import { fixed } from '../../src/reloadable/reloadable';
import { TestAuthority } from '../support/certificates';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { eventually } from '../support/eventually';
import { openSocket } from '../support/raw-exchange';

/** Few, so that the test opens few. */
const BOUNDS = { ...CONNECTION_BOUNDS, ofAddress: { burst: 50, perSecond: 20 } };

describe('the connections of a server', () => {
  let server: Server;
  let url: string;
  let open = (): number => 0;
  const time = new FixedMonotonicTime();
  let hanging = 0;
  let cleanups: RequestCleanup[] = [];
  const shed: string[] = [];
  const sockets: Socket[] = [];
  beforeEach(async () => {
    cleanups = [];
    server = createServer((request, response) => {
      cleanups.push(beginCleanup(request, response));
      const { url: path = '' } = request;
      if (path.endsWith('of-a-caller')) Object.assign(request, { caller: {} });
      // As in the answer styles whose status is always 200.
      if (path.startsWith('/too-many')) Object.assign(request, { failure: 'TOO_MANY_REQUESTS' });
      if (path === '/hanging') hanging += 1;
      else response.end('ok');
    });
    const observer = {
      connectionsOpened: (count: () => number) => (open = count),
      shed: (why: string) => void shed.push(why),
    };
    limitConnections(server, 40, { observer, time, bounds: BOUNDS });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    shed.length = 0;
    await new Promise((closed) => server.close(closed));
  });

  /** How many of so many idle connections stay open, once all of them were looked at. */
  const connect = async (from: string, count: number): Promise<number> => {
    let closed = 0;
    const opened = Array.from({ length: count }, () =>
      openSocket(url, from).once('close', () => (closed += 1)),
    );
    sockets.push(...opened);
    // Those of others that made room are closed too; of these, only what is left tells.
    await eventually(() => {
      expect(opened.some(({ connecting }) => connecting)).toBe(false);
      expect(sockets.filter(({ destroyed }) => !destroyed)).toHaveLength(open());
    });
    return count - closed;
  };

  it('are limited to a quarter for one address; further ones are closed at once', async () => {
    const first = openSocket(url, '127.0.0.2');
    sockets.push(first);
    await eventually(() => expect(open()).toBe(1));
    expect(await connect('127.0.0.2', 30)).toBe(9);
    expect(shed).toEqual(Array(21).fill('connections'));
    expect(first.destroyed).toBe(false);
  });

  it("replace one of the address that has the most, where the new one's address has fewer", async () => {
    for (let address = 2; address < 6; address += 1) expect(await connect(`127.0.0.${address}`, 10)).toBe(10);
    expect(open()).toBe(40);
    expect(await connect('127.0.0.1', 2)).toBe(2);
    expect(await connect('127.0.0.5', 5)).toBeLessThanOrEqual(2);
    expect(open()).toBe(40);
  });

  it('accept a newcomer however many addresses hold all that they may', async () => {
    for (let address = 2; address < 20; address += 1) {
      await connect(`127.0.0.${address}`, 40);
      // Strangers' connections become sockets at a pace.
      time.advance(100);
    }
    expect(await connect('127.0.0.1', 2)).toBe(2);
  });

  it('accept a newcomer also where each of them is of another address', async () => {
    for (let address = 2; address < 52; address += 1) await connect(`127.0.0.${address}`, 1);
    expect(await connect('127.0.0.1', 1)).toBe(1);
  });

  it('replace one of the same address that is five seconds old and without a request', async () => {
    await connect('127.0.0.2', 10);
    const old = [...sockets];
    time.advance(5_000);
    await connect('127.0.0.2', 15);
    await eventually(() => expect(old.every(({ destroyed }) => destroyed)).toBe(true));
    await eventually(() => expect(sockets.filter(({ destroyed }) => !destroyed)).toHaveLength(10));
  });

  it('are closed without a request first, before those that wait for an answer', async () => {
    const waiting = openSocket(url, '127.0.0.2');
    sockets.push(waiting);
    let isClosed = false;
    waiting.once('close', () => (isClosed = true));
    waiting.write('GET /hanging HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => expect(hanging).toBe(1));
    await connect('127.0.0.2', 60);
    expect(isClosed).toBe(false);
  });

  it('are logged as what was too much where they wait for an answer and make room', async () => {
    for (let address = 2; address < 6; address += 1) {
      await connect(`127.0.0.${address}`, 10);
      const waiting = sockets.slice(-10);
      for (const socket of waiting) socket.write('GET /hanging HTTP/1.1\r\nHost: x\r\n\r\n');
      await eventually(() => expect(cleanups.filter(({ hasRun }) => !hasRun)).toHaveLength(sockets.length));
    }
    expect(await connect('127.0.0.1', 1)).toBe(1);
    await eventually(() => expect(cleanups.filter(({ hasRun }) => hasRun)).toHaveLength(1));
    expect(cleanups.find(({ hasRun }) => hasRun)?.cutFor).toBe('OVERLOADED');
  });

  it('are refused where an address opens more than it may in a second, unless callers are authenticated on them', async () => {
    const open = async (from: string, path: string): Promise<boolean> => {
      const socket = openSocket(url, from);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const answer = await new Promise<string>((resolve) => {
        socket.once('data', (chunk: Buffer) => resolve(chunk.toString())).once('close', () => resolve(''));
      });
      socket.destroy();
      return answer.startsWith('HTTP/1.1 ');
    };
    const answered = async (from: string, count: number, path = '/'): Promise<number> => {
      let all = 0;
      for (let at = 0; at < count; at += 1) if (await open(from, path)) all += 1;
      return all;
    };
    expect(await answered('127.0.0.2', 60)).toBe(50);
    expect(await answered('127.0.0.3', 60, '/of-a-caller')).toBe(60);
    expect(await answered('127.0.0.4', 60, '/too-many-of-a-caller')).toBe(50);
    expect(await answered('127.0.0.1', 2)).toBe(2);
    time.advance(1_000);
    expect(await answered('127.0.0.2', 30)).toBe(20);
    expect(shed).toHaveLength(30);
  });

  it('do not count any more once they are closed', async () => {
    await connect('127.0.0.2', 10);
    for (const socket of sockets) socket.destroy();
    await eventually(() => expect(open()).toBe(0));
    expect(await connect('127.0.0.2', 10)).toBe(10);
  });
});

it('connections with TLS are not closed either while a request on them waits for its answer', async () => {
  const identity = fixed(new TestAuthority().certificateFor('127.0.0.1'));
  const time = new FixedMonotonicTime();
  let hanging = 0;
  const server = secureServer(
    {},
    (request, response) => {
      beginCleanup(request, response);
      hanging += 1;
    },
    identity,
  );
  limitConnections(server, 8, { time });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  const open = (): TLSSocket => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    return socket.on('error', () => undefined);
  };
  const busy = [open(), open()];
  for (const socket of busy) socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await eventually(() => expect(hanging).toBe(2));
  time.advance(5_000);
  const newcomer = open();
  await eventually(() => expect(newcomer.destroyed).toBe(true));
  expect(busy.map(({ destroyed }) => destroyed)).toEqual([false, false]);
  for (const socket of busy) socket.destroy();
  await new Promise((closed) => server.close(closed));
});
