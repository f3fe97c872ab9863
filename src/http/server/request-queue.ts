import type { RequestListener, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { MonotonicTime } from '../../time/clock';
import { connectionAccepted } from '../../concurrency/quiet-turn';
import type { LimitsObserver } from '../../limits/rate-limits';
import { awaitPermit, openRequestsOn } from './request-cleanup';

/** Node parses all requests that came together at once, though they are answered one after the other. */
const MAX_PIPELINED = 8;
/** Of one address; each keeps at most 64 KiB of its body in memory. */
const MAX_WAITING = 256;
const MAX_WAITING_IN_ALL = 1_024;
/** How long requests are begun in one turn of the event loop. */
const TURN_MS = 2;
/** So many turns in a row begin none, while each of them accepts a connection. */
const MAX_PUT_OFF = 8;

interface WaitingRequest {
  readonly begin: () => void;
  readonly cut: () => void;
}

/**
 * Begins requests a few in each turn of the event loop, the addresses by turns: whoever sends thousands waits for their own,
 * and others' next request comes after a few of them. Node accepts one connection in each turn, first come first served: so
 * a turn that had one begins nothing, for a while, since more may be waiting.
 */
export class RequestQueue {
  /** In the order of their turns: an address that has had its turn goes to the end. */
  readonly #lines = new Map<string, WaitingRequest[]>();
  #waiting = 0;
  #isScheduled = false;
  #hasAccepted = false;
  #putOff = 0;
  #beganMs = 0;

  constructor(
    private readonly time: MonotonicTime,
    private readonly observer?: Pick<LimitsObserver, 'shed'>,
  ) {}

  /** Cuts a connection where too many requests of its address wait, or more are open on it than a client needs that awaits answers. */
  listener(listener: RequestListener): RequestListener {
    return (request, response) => {
      const { socket } = request;
      if (openRequestsOn(socket) >= MAX_PIPELINED) cut(socket);
      // What comes behind an answer that ended the connection could not be answered.
      if (!socket.writable) return;
      const hasPermit = awaitPermit(request);
      this.#wait(socket.remoteAddress ?? '', {
        begin: () => {
          hasPermit();
          if (socket.writable) listener(request, response);
        },
        cut: () => {
          hasPermit();
          this.observer?.shed('turns');
          cut(socket);
        },
      });
    };
  }

  watchConnections(server: Pick<Server, 'on'>): void {
    server.on('connection', () => {
      connectionAccepted();
      this.#hasAccepted = true;
    });
  }

  /** Where all places are taken, the longest line gives one up for a shorter one. */
  #wait(address: string, waiting: WaitingRequest): void {
    const line = this.#lines.get(address) ?? [];
    const isFull = this.#waiting >= MAX_WAITING_IN_ALL && !this.#makeRoomFor(line);
    if (isFull || line.length >= MAX_WAITING) {
      waiting.cut();
      return;
    }
    if (line.push(waiting) === 1) this.#lines.set(address, line);
    this.#waiting += 1;
    this.#schedule();
  }

  #makeRoomFor(line: readonly WaitingRequest[]): boolean {
    const longest = [...this.#lines.values()].reduce((one, other) =>
      other.length > one.length ? other : one,
    );
    if (longest.length <= line.length + 1) return false;
    longest.pop()?.cut();
    this.#waiting -= 1;
    return true;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#isScheduled = false;
    const mayPutOff = this.#hasAccepted && this.#putOff < MAX_PUT_OFF;
    this.#hasAccepted = false;
    if (mayPutOff) {
      this.#putOff += 1;
      this.#schedule();
      return;
    }
    this.#putOff = 0;
    this.#beganMs = this.time.nowMs();
    this.#beginNext();
  };

  readonly #beginNext = (): void => {
    this.#next()?.begin();
    if (this.#waiting === 0) return;
    if (this.time.nowMs() - this.#beganMs >= TURN_MS) this.#schedule();
    // What the request goes on with at once comes first, and counts.
    else queueMicrotask(this.#beginNext);
  };

  #next(): WaitingRequest | undefined {
    for (const [address, line] of this.#lines) {
      const waiting = line.shift();
      this.#lines.delete(address);
      if (line.length > 0) this.#lines.set(address, line);
      this.#waiting -= 1;
      return waiting;
    }
    return undefined;
  }
}

/** What node:http calls for each request that it has parsed; 2 means that what follows is not HTTP. */
interface Parser {
  onIncoming?: (() => number) | null;
}

/** Destroyed alone, node:http would still build each of the requests in what it has read: a thousand, where they are short. */
function cut(socket: Socket & { readonly parser?: Parser | null }): void {
  if (typeof socket.parser?.onIncoming === 'function') socket.parser.onIncoming = () => 2;
  socket.destroy();
}
