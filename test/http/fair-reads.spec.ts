import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { CallerAddresses } from '../../src/http/server/fair-turns';
import { FairReads } from '../../src/http/server/fair-reads';
import { connect as secureConnect } from 'node:tls';
import { TestAuthority } from '../support/certificates';
import { eventually } from '../support/eventually';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const nextTurn = (): Promise<void> => new Promise(setImmediate);
const CALLER = '127.0.0.9';

const identity = new TestAuthority().certificateFor('127.0.0.1');
type Dial = (to: { readonly port: number; readonly host: string; readonly localAddress: string }) => Socket;
const dialSecurely: Dial = (to) => secureConnect({ ...to, rejectUnauthorized: false });
const KINDS = [
  {
    kind: 'plain',
    event: 'connection',
    make: (on: RequestListener) => createServer(on),
    dial: connect as Dial,
  },
  {
    kind: 'TLS',
    event: 'secureConnection',
    make: (on: RequestListener) => createSecureServer(identity, on),
    dial: dialSecurely,
  },
] as const;

describe.each(KINDS)(
  'reads of $kind connections that send at the same moment',
  ({ kind, event, make, dial }) => {
    let time: FixedMonotonicTime;
    let reads: FairReads;
    let server: Server;
    let readMs: number;
    /** The addresses whose requests were read, by turns of the event loop. */
    let turns: string[][];
    const clients: Socket[] = [];
    let accepted: Socket[];

    beforeEach(async () => {
      time = new FixedMonotonicTime();
      const callers = new CallerAddresses(time);
      callers.add(CALLER);
      reads = new FairReads(time, callers);
      readMs = 1;
      turns = [];
      let ofTurn: string[] | undefined;
      server = make((request, response) => {
        if (ofTurn === undefined) {
          turns.push((ofTurn = []));
          setImmediate(() => (ofTurn = undefined));
        }
        ofTurn.push(request.socket.remoteAddress ?? '');
        reads.wasRead();
        time.advance(readMs);
        response.end();
      });
      reads.watch(server, event);
      accepted = [];
      server.on(event, (socket) => accepted.push(socket));
      await once(server.listen(0, '127.0.0.1'), 'listening');
    });
    afterEach(() => {
      for (const client of clients.splice(0)) client.destroy();
      server.close();
    });

    const open = async (localAddress: string, count: number): Promise<Socket[]> => {
      const { port } = server.address() as AddressInfo;
      const opened = Array.from({ length: count }, () => dial({ port, host: '127.0.0.1', localAddress }));
      clients.push(...opened);
      await Promise.all(opened.map((client) => once(client, kind === 'TLS' ? 'secureConnect' : 'connect')));
      await eventually(() => expect(accepted).toHaveLength(clients.length));
      return opened;
    };
    /** All requests are in the buffers of the operating system before the next turn reads any. */
    const sendAtOnce = (sockets: readonly Socket[]): void => {
      for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    };
    const read = (): string[] => turns.flat();

    it('end in a turn when they have taken a millisecond, and go on in the next turns until all were read', async () => {
      const sockets = await open('127.0.0.1', 40);
      sendAtOnce(sockets);
      await eventually(() => expect(read()).toHaveLength(40));
      // The second one notices that the first has taken its time.
      expect(Math.max(...turns.map(({ length }) => length))).toBe(2);
    });

    it('are as Node makes them while they are quick', async () => {
      readMs = 0;
      const sockets = await open('127.0.0.1', 40);
      sendAtOnce(sockets);
      await eventually(() => expect(read()).toHaveLength(40));
      expect(Math.max(...turns.map(({ length }) => length))).toBeGreaterThan(20);
    });

    it('go on with the connections of addresses on which a caller was authenticated', async () => {
      const strangers: Socket[] = [];
      for (let last = 1; last <= 20; last += 1) strangers.push(...(await open(`127.0.1.${last}`, 1)));
      const [caller] = await open(CALLER, 1);
      sendAtOnce([...strangers, ...(caller === undefined ? [] : [caller])]);
      await eventually(() => expect(read()).toHaveLength(21));
      expect(turns.slice(0, 2).flat()).toContain(CALLER);
    });

    it('go on with a connection that sends again, and with one that was idle meanwhile', async () => {
      const sockets = await open('127.0.0.1', 20);
      const idle = await open('127.0.0.2', 1);
      sendAtOnce(sockets);
      await eventually(() => expect(read()).toHaveLength(20));
      sendAtOnce([...sockets, ...idle]);
      await eventually(() => expect(read()).toHaveLength(41));
    });

    it('do not go on with a connection that the server itself has paused meanwhile', async () => {
      const [one, other] = await open('127.0.0.1', 2);
      const paused = await open('127.0.0.2', 1);
      const ofServer = accepted.at(-1);
      // Reading has been stopped by then.
      server.on('request', () => read().length === 2 && ofServer?.pause());
      if (one !== undefined && other !== undefined) sendAtOnce([one, other, ...paused]);
      await eventually(() => expect(read()).toHaveLength(2));
      for (let turn = 0; turn < 20; turn += 1) await nextTurn();
      expect(read()).not.toContain('127.0.0.2');
      ofServer?.resume();
      await eventually(() => expect(read()).toContain('127.0.0.2'));
    });
  },
);
