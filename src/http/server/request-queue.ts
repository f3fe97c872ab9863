import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { MonotonicTime } from '../../time/clock';
import type { LimitsObserver } from '../../limits/rate-limits';
import { cut } from './express-messages';
import { FairReads } from './fair-reads';
import { CallerAddresses, FairTurns } from './fair-turns';
import { beginCleanup, openRequestsOn } from './request-cleanup';

/** Node parses all requests that arrived together at once, though they are answered one after the other. */
const MAX_PIPELINED = 8;
/** For each waiting request, at most 64 KiB of its body are in memory. */
const BOUNDS = { max: 1_024, maxOfAddress: 256 };

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
    this.#turns = new FairTurns(BOUNDS, time, { begin, shed }, this.callers);
  }

  /**
   * Returns a listener that queues requests for the given one. A connection is cut where too many requests of its address
   * wait, or more are open on it than a client needs that reads its answers.
   */
  listener(listener: RequestListener): RequestListener {
    return (request, response) => {
      const { socket } = request;
      if (openRequestsOn(socket) >= MAX_PIPELINED) {
        this.observer?.shed('pipelined');
        cut(socket, 'TOO_MANY_REQUESTS');
      }
      beginCleanup(request, response);
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
