import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { MonotonicTime } from '../../time/clock';
import { connectionAccepted } from '../../concurrency/quiet-turn';
import type { LimitsObserver } from '../../limits/rate-limits';
import { beginCleanup, openRequestsOn } from './request-cleanup';

/** Node parses all requests that arrived together at once, though they are answered one after the other. */
const MAX_PIPELINED = 8;
/** For each waiting request, at most 64 KiB of its body are in memory. */
const MAX_WAITING_OF_ADDRESS = 256;
const MAX_WAITING = 1_024;
/** For how long requests are begun in one turn of the event loop. */
const TURN_MS = 2;
/** How many turns in a row may begin no request since they accepted a connection. */
const MAX_POSTPONED = 8;

interface WaitingRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly listener: RequestListener;
}

/**
 * Begins a few requests in each turn of the event loop, fairly among the addresses: an address that sends thousands delays
 * the next request of another one by a few. Node accepts one connection in each turn, first come first served: so a turn
 * that accepted one begins no request, for a while, since more connections may be waiting.
 */
export class RequestQueue {
  /** In the order in which the addresses are served: one whose request was begun goes to the end. */
  readonly #queues = new Map<string, WaitingRequest[]>();
  #waiting = 0;
  #hasAccepted = false;
  #postponed = 0;

  constructor(
    private readonly time: MonotonicTime,
    private readonly observer?: Pick<LimitsObserver, 'shed'>,
  ) {}

  /**
   * Returns a listener that queues requests for the given one. A connection is cut where too many requests of its address
   * wait, or more are open on it than a client needs that reads its answers.
   */
  listener(listener: RequestListener): RequestListener {
    return (request, response) => {
      const { socket } = request;
      if (openRequestsOn(socket) >= MAX_PIPELINED) cut(socket);
      // A request behind an answer that ended the connection could not be answered.
      if (!socket.writable) return;
      beginCleanup(request, response);
      this.#enqueue(socket.remoteAddress ?? '', { request, response, listener });
    };
  }

  watchConnections(server: Pick<Server, 'on'>): void {
    server.on('connection', () => {
      connectionAccepted();
      this.#hasAccepted = true;
    });
  }

  /** Adds a request, or cuts it where its address has too many, or there are too many and no address has more. */
  #enqueue(address: string, waiting: WaitingRequest): void {
    const queue = this.#queues.get(address) ?? [];
    const isFull = this.#waiting >= MAX_WAITING && !this.#cutFromLongest(queue.length);
    if (isFull || queue.length >= MAX_WAITING_OF_ADDRESS) {
      this.#shed(waiting);
      return;
    }
    if (queue.push(waiting) === 1) this.#queues.set(address, queue);
    this.#waiting += 1;
    // While others wait, a turn is due already.
    if (this.#waiting === 1) setImmediate(() => void this.#turn());
  }

  /** Cuts the last request of the address that has the most; returns false where that would not be longer than `length`. */
  #cutFromLongest(length: number): boolean {
    const longest = [...this.#queues.values()].reduce((one, other) =>
      other.length > one.length ? other : one,
    );
    if (longest.length <= length + 1) return false;
    this.#shed(longest.pop());
    this.#waiting -= 1;
    return true;
  }

  #shed(waiting: WaitingRequest | undefined): void {
    if (waiting === undefined) return;
    this.observer?.shed('queue');
    cut(waiting.request.socket);
  }

  async #turn(): Promise<void> {
    const isPostponed = this.#hasAccepted && this.#postponed < MAX_POSTPONED;
    this.#hasAccepted = false;
    this.#postponed = isPostponed ? this.#postponed + 1 : 0;
    const beganMs = this.time.nowMs();
    while (!isPostponed && this.#waiting > 0 && this.time.nowMs() - beganMs < TURN_MS) {
      const [first] = this.#queues;
      if (first === undefined) return;
      const [address, queue] = first;
      const waiting = queue.shift();
      this.#queues.delete(address);
      if (queue.length > 0) this.#queues.set(address, queue);
      this.#waiting -= 1;
      if (waiting?.request.socket.writable === true) waiting.listener(waiting.request, waiting.response);
      // The microtasks of the begun request run first, and count.
      await Promise.resolve();
    }
    if (this.#waiting > 0) setImmediate(() => void this.#turn());
  }
}

/** node:http calls `onIncoming` for each request that it has parsed; the answer 2 ends parsing. */
interface Parser {
  onIncoming?: (() => number) | null;
}

/** Destroys a connection and stops its parser, which would still build every request in what it has read: a thousand short ones. */
function cut(socket: Socket & { readonly parser?: Parser | null }): void {
  if (typeof socket.parser?.onIncoming === 'function') socket.parser.onIncoming = () => 2;
  socket.destroy();
}
