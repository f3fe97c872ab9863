import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { CallerAddresses } from '../../src/http/server/fair-turns';
import { FairReads } from '../../src/http/server/request-queue';
import { connect as secureConnect } from 'node:tls';
import { TestAuthority } from '../support/certificates';
import { eventually } from '../support/eventually';
import { FixedMonotonicTime } from '../support/fixed-monotonic-time';

const nextTurn = (): Promise<void> => new Promise(setImmediate);
const CALLERS = Array.from({ length: 10 }, (_, at) => `127.0.2.${at + 1}`);
const [CALLER = ''] = CALLERS;

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

/** What node:http calls after each read. */
type ParsedSocket = Socket & {
  readonly parser: Record<number, (...result: unknown[]) => unknown> & {
    readonly constructor: { readonly kOnExecute: number };
  };
};

describe.each(KINDS)(
  'reads of $kind connections that send at the same moment',
  ({ kind, event, make, dial }) => {
    let time: FixedMonotonicTime;
    let reads: FairReads;
    let server: Server;
    let readMs: number;
    /** The addresses of the connections that were read, by turns of the event loop. */
    let turns: string[][];
    const clients: Socket[] = [];
    let accepted: Socket[];

    beforeEach(async () => {
      time = new FixedMonotonicTime();
      const callers = new CallerAddresses(time);
      for (const address of CALLERS) callers.add(address);
      reads = new FairReads(time, callers);
      readMs = 1;
      // What an earlier test has left open goes on in its own turns.
      const mine: string[][] = (turns = []);
      let ofTurn: string[] | undefined;
      const noteRead = ({ remoteAddress = '' }: Socket): void => {
        if (ofTurn === undefined) {
          mine.push((ofTurn = []));
          setImmediate(() => (ofTurn = undefined));
        }
        ofTurn.push(remoteAddress);
        time.advance(readMs);
      };
      server = make((_request, response) => void response.end());
      server.on(event, (socket: ParsedSocket) => {
        const { parser } = socket;
        const at = parser.constructor.kOnExecute;
        const executed = parser[at];
        parser[at] = (...result) => {
          noteRead(socket);
          return executed?.(...result);
        };
      });
      reads.watch(server, event);
      server.on(event, (socket: Socket) => socket.once('end', () => noteRead(socket)));
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
      // The kernel tells of the connection that it told of last before all others, until it was asked once more.
      for (let turn = 0; turn < 3; turn += 1) await nextTurn();
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
      expect(turns[0]).toHaveLength(2);
      expect(Math.max(...turns.map(({ length }) => length))).toBe(4);
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

    it('come to every connection, though one always has more to read', async () => {
      const others = await open('127.0.0.2', 5);
      const [endless] = await open('127.0.0.1', 1);
      endless?.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
      const chunks = `50\r\n${'x'.repeat(80)}\r\n`.repeat(4_000);
      let isOver = false;
      const sending = (async () => {
        while (!isOver) {
          if (endless?.writableNeedDrain !== true) endless?.write(chunks);
          await nextTurn();
        }
      })();
      const ofOthers = (): number => read().filter((address) => address === '127.0.0.2').length;
      await eventually(() => expect(turns.length).toBeGreaterThan(20));
      for (let round = 1; round <= 20; round += 1) {
        const before = turns.length;
        sendAtOnce(others);
        for (let turn = 0; turn < 100 && ofOthers() < 5 * round; turn += 1) await nextTurn();
        expect(ofOthers()).toBe(5 * round);
        expect(turns.length - before).toBeLessThanOrEqual(10);
      }
      isOver = true;
      await sending;
      // Node itself would read it up to 32 times. With TLS a read brings several records.
      const ofEndless = turns.map((turn) => turn.filter((address) => address === '127.0.0.1').length);
      expect(Math.max(...ofEndless)).toBeLessThanOrEqual(kind === 'TLS' ? 5 : 2);
    });

    it('count where they bring the beginning of a head, of which there is no request yet', async () => {
      const sockets = await open('127.0.0.1', 40);
      for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: x\r\nA: ');
      await eventually(() => expect(read()).toHaveLength(40));
      expect(Math.max(...turns.map(({ length }) => length))).toBe(4);
    });

    it('count where they bring the end of a connection', async () => {
      const sockets = await open('127.0.0.1', 40);
      for (const socket of sockets) socket.end();
      await eventually(() => expect(read()).toHaveLength(40));
      expect(Math.max(...turns.map(({ length }) => length))).toBeLessThanOrEqual(4);
    });

    it('are two milliseconds of an address with callers, and eight of all those, in turns in which strangers are read no longer', async () => {
      const callers: Socket[] = [];
      for (const address of CALLERS) callers.push(...(await open(address, 4)));
      const strangers = await open('127.0.0.1', 20);
      sendAtOnce([...strangers, ...callers]);
      await eventually(() => expect(read()).toHaveLength(60));
      const ofCallers = turns.map((turn) =>
        CALLERS.map((caller) => turn.filter((one) => one === caller).length),
      );
      // The time of the first read of a turn is not known.
      expect(Math.max(...ofCallers.flat())).toBeLessThanOrEqual(3);
      expect(Math.max(...turns.map(({ length }) => length))).toBeGreaterThan(4);
      expect(Math.max(...turns.map(({ length }) => length))).toBeLessThanOrEqual(9);
    });

    it('do not cost the next address the time that it took to stop others', async () => {
      const strangers = await open('127.0.0.1', 3);
      const callers = await open(CALLER, 2);
      const { _handle: handle } = accepted[2] as Socket & { readonly _handle: { readStop(): number } };
      const readStop = handle.readStop.bind(handle);
      handle.readStop = () => {
        time.advance(3);
        return readStop();
      };
      sendAtOnce([...strangers, ...callers]);
      await eventually(() => expect(read()).toHaveLength(5));
      expect(turns[0]).toEqual(['127.0.0.1', '127.0.0.1', CALLER, CALLER]);
    });

    it('do not go on with a connection that the server itself has paused meanwhile', async () => {
      const [one, other] = await open('127.0.0.1', 2);
      const paused = await open('127.0.0.2', 1);
      const ofServer = accepted.at(-1);
      // Reading has been stopped by then.
      server.on('request', () => read().length === 1 && setImmediate(() => ofServer?.pause()));
      if (one !== undefined && other !== undefined) sendAtOnce([one, other, ...paused]);
      await eventually(() => expect(read()).toHaveLength(2));
      for (let turn = 0; turn < 20; turn += 1) await nextTurn();
      expect(read()).not.toContain('127.0.0.2');
      ofServer?.resume();
      await eventually(() => expect(read()).toContain('127.0.0.2'));
    });
  },
);
