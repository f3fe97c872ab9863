import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { LimitsObserver } from '../../limits/rate-limits';
import type { MonotonicTime } from '../../time/clock';
import { cut } from './express-messages';
import { CallerAddresses, FairTurns } from './fair-turns';
import { beginCleanup } from './request-cleanup';

/** For how long sockets are read in one turn of the event loop, those of all strangers, of one address with callers, and of all; no read ends before it has taken what it found. */
const READS_MS = { ofStrangers: 1, ofAddress: 2, ofAll: 8 };
/** How many sockets are read again in one turn. One may bring 64 KiB, which take half a millisecond to parse. */
const READ_AGAIN_PER_TURN = 4;
/** Every socket has a place. */
const READ_BOUNDS = { max: Infinity, maxOfAddress: Infinity, maxPerTurn: READ_AGAIN_PER_TURN };

/**
 * What node:net reads with, and the parser of node:http, which calls the function at `kOnExecute` after each read. None of it is
 * documented: where it is not as expected, sockets are read as Node does.
 */
type ReadSocket = Socket & {
  readonly _handle?: { readonly reading?: boolean; readStop?(): number; readStart?(): number } | null;
  readonly parser?: ({ readonly constructor: { readonly kOnExecute?: unknown } } & ParserCallbacks) | null;
};
type ParserCallbacks = Record<number, unknown>;

/**
 * Node reads every socket that has data in one turn of the event loop: a thousand connections that send at the same moment
 * delay everybody by as many reads. Once the reads of a turn have taken their time, the other sockets of strangers, of an address
 * or of everybody are not read any more, and then again by fair turns, a few in each turn of the event loop. Nothing is done while
 * reads are quick.
 */
export class FairReads {
  /** Those that may be stopped. */
  readonly #sockets = new Set<ReadSocket>();
  /** Those that are read again in this turn: each has one read, whatever the others take, or one with endless data would let them have none. */
  readonly #fresh = new Set<ReadSocket>();
  readonly #turns: FairTurns<ReadSocket>;
  #beganMs: number | undefined;
  #readMs = 0;
  readonly #tookMs = new Map<string, number>();
  #ended: 'nothing' | 'strangers' | 'everything' = 'nothing';

  constructor(
    private readonly time: Pick<MonotonicTime, 'nowMs'>,
    private readonly callers: Pick<CallerAddresses, 'has'>,
  ) {
    const readAgain = (socket: ReadSocket): void => {
      if (socket.destroyed) return;
      this.#fresh.add(socket);
      // It comes after the reads of the next turn.
      setImmediate(() => this.#fresh.delete(socket) && !socket.destroyed && this.#sockets.add(socket));
      if (socket._handle?.reading === true) socket._handle.readStart?.();
    };
    this.#turns = new FairTurns(READ_BOUNDS, time, { begin: readAgain, shed: readAgain }, callers);
  }

  /** Reads the connections of this server fairly. With TLS these are the secured ones: handshakes are not among the reads. */
  watch(server: Pick<Server, 'on'>, event: 'connection' | 'secureConnection'): void {
    server.on(event, (socket: ReadSocket) => {
      this.#sockets.add(socket);
      // These come of reads too. The end of a connection does not: it may be one of hundreds that a timer closes.
      socket.once('end', () => this.#wasRead(socket));
      socket.once('error', () => this.#wasRead(socket));
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#fresh.delete(socket);
      });
      const { parser } = socket;
      const onExecute = parser?.constructor.kOnExecute;
      const executed = parser === undefined || parser === null ? undefined : parser[Number(onExecute)];
      if (typeof onExecute !== 'number' || typeof executed !== 'function') return;
      (parser as ParserCallbacks)[onExecute] = (...result: unknown[]): unknown => {
        this.#wasRead(socket);
        return (executed as (...given: unknown[]) => unknown)(...result);
      };
    });
  }

  /** To be called for each connection that the server accepts. */
  connectionAccepted(): void {
    this.#turns.connectionAccepted();
    // Others wait to be accepted behind this one, in turns as long as the reads in them.
    if (this.#turns.waiting > 0 && this.#ended === 'nothing') this.#end('strangers');
  }

  #wasRead(socket: ReadSocket): void {
    const nowMs = this.time.nowMs();
    if (this.#beganMs === undefined) this.#begin(nowMs);
    const { remoteAddress = '' } = socket;
    const beforeMs = this.#tookMs.get(remoteAddress) ?? 0;
    const ofAddressMs = beforeMs + nowMs - this.#readMs;
    this.#tookMs.set(remoteAddress, ofAddressMs);
    this.#readMs = nowMs;
    const ofAllMs = nowMs - (this.#beganMs ?? nowMs);
    if (ofAllMs >= READS_MS.ofAll && this.#ended !== 'everything') this.#end('everything');
    else if (ofAllMs >= READS_MS.ofStrangers && this.#ended === 'nothing') this.#end('strangers');
    else if (ofAddressMs >= READS_MS.ofAddress && beforeMs < READS_MS.ofAddress) this.#stopThose();
    if (this.#fresh.delete(socket)) this.#sockets.add(socket);
    // node:http may have begun to read it although it waits for its turn.
    if (!this.#sockets.has(socket)) socket._handle?.readStop?.();
    // Node would read it many times in this turn if it has more.
    else if (this.#ended !== 'nothing' || ofAddressMs >= READS_MS.ofAddress) this.#stop(socket);
  }

  #begin(nowMs: number): void {
    this.#beganMs = this.#readMs = nowMs;
    // It comes after all reads of this turn.
    setImmediate(() => {
      this.#beganMs = undefined;
      this.#ended = 'nothing';
      this.#tookMs.clear();
    });
  }

  #end(what: 'strangers' | 'everything'): void {
    if (this.#beganMs === undefined) this.#begin(this.time.nowMs());
    this.#ended = what;
    this.#stopThose();
  }

  #stopThose(): void {
    for (const socket of this.#sockets) this.#stop(socket);
    // That took time, which is not the next one's.
    this.#readMs = this.time.nowMs();
  }

  /** Stops a socket that is not read any more in this turn. */
  #stop(socket: ReadSocket): void {
    const { _handle: handle, remoteAddress = '' } = socket;
    const isOver =
      this.#ended === 'everything' ||
      (this.#tookMs.get(remoteAddress) ?? 0) >= READS_MS.ofAddress ||
      (this.#ended === 'strangers' && !this.callers.has(remoteAddress));
    if (!isOver) return;
    if (handle?.reading !== true || handle.readStop === undefined) return;
    handle.readStop();
    this.#sockets.delete(socket);
    this.#turns.add(remoteAddress, socket);
  }
}

/** Node parses all requests that arrived together at once, though they are answered one after the other. */
const MAX_PIPELINED = 8;
/** For each waiting request, at most 64 KiB of its body are in memory. */
const REQUEST_BOUNDS = { max: 1_024, maxOfAddress: 256 };

interface WaitingRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly listener: RequestListener;
}

/** Begins requests by fair turns. */
export class RequestQueue {
  /** Whoever learns that a caller was authenticated adds its address. */
  readonly callers: CallerAddresses;
  readonly reads: FairReads;
  readonly #turns: FairTurns<WaitingRequest>;

  constructor(
    time: MonotonicTime,
    private readonly observer?: Pick<LimitsObserver, 'shed'>,
  ) {
    this.callers = new CallerAddresses(time);
    this.reads = new FairReads(time, this.callers);
    const begin = ({ request, response, listener }: WaitingRequest): void => {
      if (request.socket.writable) listener(request, response);
    };
    const shed = ({ request }: WaitingRequest): void => {
      observer?.shed('queue');
      cut(request.socket, 'OVERLOADED');
    };
    this.#turns = new FairTurns(REQUEST_BOUNDS, time, { begin, shed }, this.callers);
  }

  /** Returns a listener that queues requests; a connection is cut where too many of its address wait, or more are open than a client needs that reads answers. */
  listener(listener: RequestListener): RequestListener {
    return (request, response) => {
      const { socket } = request;
      const { onConnection } = beginCleanup(request, response);
      if (onConnection.size > MAX_PIPELINED) {
        this.observer?.shed('pipelined');
        cut(socket, 'TOO_MANY_REQUESTS');
      }
      // A request behind an answer that ended the connection cannot be answered; it counts, since node:http holds it until the connection closes.
      if (!socket.writable) return;
      this.#turns.add(socket.remoteAddress ?? '', { request, response, listener });
    };
  }

  /** To be called for each connection that the server accepts. */
  connectionAccepted(): void {
    this.#turns.connectionAccepted();
    this.reads.connectionAccepted();
  }
}
