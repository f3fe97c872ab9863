import { setTimeout as pause } from 'node:timers/promises';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { RequestQueue } from '../../src/http/server/request-queue';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';
import { eventually } from '../support/eventually';
import { openSocket, rawExchange } from '../support/raw-exchange';

const nextTurn = (): Promise<void> => new Promise(setImmediate);

describe('the request queue', () => {
  let time: FixedMonotonicTime;
  const shed: string[] = [];
  let begun: string[] = [];
  const closed: string[] = [];
  let queue: RequestQueue;
  let ask: RequestListener;
  beforeEach(() => {
    shed.length = closed.length = 0;
    const mine: string[] = (begun = []);
    // What an earlier test left waiting goes on in its own time.
    const mineTime = (time = new FixedMonotonicTime());
    queue = new RequestQueue(time, { shed: (why) => void shed.push(why) });
    // Each takes half a millisecond.
    ask = queue.listener(({ socket }) => {
      mineTime.advance(0.5);
      mine.push(socket.remoteAddress ?? '');
    });
  });
  const send = (remoteAddress: string, count: number): void => {
    for (let at = 0; at < count; at += 1) {
      const socket = {
        remoteAddress,
        destroyed: false,
        writable: true,
        destroy: () => closed.push(remoteAddress),
        on: () => undefined,
        once: () => undefined,
      };
      ask({ socket } as unknown as IncomingMessage, { once: () => undefined } as unknown as ServerResponse);
    }
  };

  it('begins a request of each address after a few of others, however many of those wait', async () => {
    send('10.0.0.1', 200);
    await nextTurn();
    send('10.0.0.2', 1);
    send('10.0.0.3', 1);
    const before = begun.length;
    await nextTurn();
    await nextTurn();
    expect(begun.slice(before, before + 4)).toEqual(expect.arrayContaining(['10.0.0.2', '10.0.0.3']));
  });

  it('begins the requests of one address in the order of arrival, and all of them in the end', async () => {
    send('10.0.0.1', 100);
    for (let turn = 0; turn < 100; turn += 1) await nextTurn();
    expect(begun).toHaveLength(100);
  });

  it('begins requests for a millisecond in one turn of the event loop', async () => {
    send('10.0.0.1', 100);
    await nextTurn();
    expect(begun).toHaveLength(2);
    await nextTurn();
    expect(begun).toHaveLength(4);
  });

  it('begins those of addresses where a caller was authenticated first, and every fourth time one of another address', async () => {
    queue.callers.add('10.1.0.1');
    for (let last = 0; last < 50; last += 1) send(`10.0.0.${last}`, 1);
    send('10.1.0.1', 9);
    for (let turn = 0; turn < 6; turn += 1) await nextTurn();
    const ofCallers = begun.map((address) => address === '10.1.0.1');
    expect(ofCallers).toEqual([true, true, true, false, true, true, true, false, true, true, true, false]);
  });

  it('begins them with all others once nobody was authenticated there for a minute', async () => {
    queue.callers.add('10.1.0.1');
    time.advance(60_000);
    for (let last = 0; last < 4; last += 1) send(`10.0.0.${last}`, 1);
    send('10.1.0.1', 1);
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
    expect(begun.at(-1)).toBe('10.1.0.1');
  });

  it.each([
    { whose: 'callers', ms: 2 },
    { whose: 'strangers', ms: 20 },
  ])(
    'begins none of $whose in a turn that accepted a connection, for $ms ms at most',
    async ({ whose, ms }) => {
      if (whose === 'callers') queue.callers.add('10.0.0.1');
      send('10.0.0.1', 100);
      const turn = async (): Promise<void> => {
        queue.connectionAccepted();
        await nextTurn();
        time.advance(0.5);
      };
      for (let at = 0; at < 2 * ms; at += 1) await turn();
      expect(begun).toHaveLength(0);
      await turn();
      expect(begun).toHaveLength(2);
      await turn();
      expect(begun).toHaveLength(2);
      await nextTurn();
      expect(begun).toHaveLength(4);
    },
  );

  it('holds at most 256 requests of one address, and cuts the connections of further ones', async () => {
    send('10.0.0.1', 300);
    expect(closed).toEqual(Array(44).fill('10.0.0.1'));
    expect(shed).toEqual(Array(44).fill('queue'));
    send('10.0.0.2', 10);
    expect(closed).toHaveLength(44);
    await nextTurn();
  });

  it('takes a request of a new address where four addresses have filled it, and cuts one of the address that has the most', () => {
    for (const last of [1, 2, 3, 4]) send(`10.0.0.${last}`, 256);
    expect(closed).toEqual([]);
    send('10.0.0.5', 1);
    expect(closed).toEqual(['10.0.0.1']);
    send('10.0.0.4', 1);
    expect(closed).toEqual(['10.0.0.1', '10.0.0.4']);
  });

  it('has places for callers however many other addresses fill theirs', async () => {
    for (let at = 0; at < 1_024; at += 1) send(`10.0.${at % 4}.${at >> 2}`, 1);
    queue.callers.add('10.1.0.1');
    send('10.1.0.1', 4);
    expect(closed).toEqual([]);
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
    expect(begun.filter((address) => address === '10.1.0.1')).toHaveLength(4);
  });

  it('begins what waits of an address with that of callers as soon as one is authenticated there', async () => {
    for (let last = 0; last < 50; last += 1) send(`10.0.0.${last}`, 1);
    send('10.1.0.1', 2);
    queue.callers.add('10.1.0.1');
    send('10.1.0.1', 1);
    for (let turn = 0; turn < 2; turn += 1) await nextTurn();
    expect(begun.filter((address) => address === '10.1.0.1')).toHaveLength(3);
  });

  it('begins no request behind an answer that has ended the connection', async () => {
    const socket = { remoteAddress: '10.0.0.1', writable: false, once: () => undefined };
    ask({ socket } as unknown as IncomingMessage, { once: () => undefined } as unknown as ServerResponse);
    await nextTurn();
    expect(begun).toEqual([]);
  });
});

describe('pipelined requests', () => {
  let server: Server;
  let url: string;
  let built = 0;
  let begun = 0;
  beforeEach(async () => {
    built = begun = 0;
    const queue = new RequestQueue(new FixedMonotonicTime());
    server = createServer(
      queue.listener(({ url: target, socket }, response) => {
        begun += 1;
        // As a large answer does, behind which the connection stays open until its client closes it.
        if (target === '/large') socket.destroySoon = () => void socket.end();
        response.setHeader('Connection', target === '/large' ? 'close' : 'keep-alive');
        response.end('{}');
      }),
    );
    server.on('request', () => (built += 1));
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });
  const requests = (count: number): string => 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count);

  it('are answered up to eight', async () => {
    expect(await rawExchange(url, requests(8), '127.0.0.1', 8)).toHaveLength(8);
  });

  it('are cut beyond eight: none is begun, and Node parses no further ones', async () => {
    const socket = openSocket(url);
    let isClosed = false;
    socket.once('close', () => (isClosed = true)).resume();
    socket.write(requests(1_000));
    await eventually(() => expect(isClosed).toBe(true));
    expect(begun).toBe(0);
    expect(built).toBeLessThan(12);
  });

  it('behind an answer that ended the connection are cut beyond eight, since node:http keeps them until it closes', async () => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true });
    let isClosed = false;
    socket
      .on('error', () => undefined)
      .once('close', () => (isClosed = true))
      .resume();
    socket.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'end');
    for (let sent = 0; sent < 100 && !isClosed; sent += 1) {
      socket.write(requests(1));
      await pause(1);
    }
    await eventually(() => expect(isClosed).toBe(true));
    expect(begun).toBe(1);
    expect(built).toBeLessThan(16);
  });
});
