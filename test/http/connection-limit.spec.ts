import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { limitConnections } from '../../src/http/connection-limit';
import { eventually } from '../support/eventually';
import { openSocket } from '../support/raw-exchange';

describe('the connections of a server', () => {
  let server: Server;
  let url: string;
  let open = (): number => 0;
  const shed: string[] = [];
  const sockets: Socket[] = [];
  beforeEach(async () => {
    server = createServer((_request, response) => response.end('ok'));
    limitConnections(server, 40, {
      connectionsOpened: (count) => (open = count),
      shed: (why) => void shed.push(why),
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    shed.length = 0;
    await new Promise((closed) => server.close(closed));
  });

  /** How many of so many idle connections stay open, once all were looked at. */
  const connect = async (from: string, count: number): Promise<number> => {
    const closed = new Set<Socket>();
    const opened = Array.from({ length: count }, () => openSocket(url, from));
    for (const socket of opened) socket.once('close', () => closed.add(socket));
    sockets.push(...opened);
    const refusedBefore = shed.length;
    const before = open();
    await eventually(() => expect(open() - before + shed.length - refusedBefore).toBe(count));
    await eventually(() => expect(closed.size).toBe(shed.length - refusedBefore));
    return count - closed.size;
  };

  it('are shared among addresses, so that the idle ones of one keep no other out', async () => {
    expect(await connect('127.0.0.2', 60)).toBe(20);
    expect(shed).toEqual(Array(40).fill('connections'));
    expect(await connect('127.0.0.3', 60)).toBe(10);
    expect(await connect('127.0.0.1', 2)).toBe(2);
  });

  it('are free again when they are closed', async () => {
    expect(await connect('127.0.0.2', 20)).toBe(20);
    for (const socket of sockets) socket.destroy();
    await eventually(() => expect(open()).toBe(0));
    expect(await connect('127.0.0.2', 20)).toBe(20);
  });
});
