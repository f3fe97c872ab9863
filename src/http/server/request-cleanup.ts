import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Reason } from '../../errors/domain-error';
import { ClientGone } from '../../errors/request-errors';

const NO_REQUESTS: ReadonlySet<RequestCleanup> = new Set();

/**
 * Owns what one request holds: its count among the requests in flight, memory, its line in the log. Everything is
 * released once, in reverse order, when the answer has ended or the connection has closed, whichever comes first; what is
 * added afterwards is released at once.
 */
export class RequestCleanup {
  #releases: (() => void)[] = [];
  #clientGone: AbortController | undefined;
  /** The requests of its connection that have not ended, this one among them. */
  onConnection: ReadonlySet<RequestCleanup> = NO_REQUESTS;
  /** True once the whole answer was handed to the operating system. */
  isAnswered = false;
  /** True once the answer has ended or its client has gone. */
  hasRun = false;
  /** Why the connection was cut off before the answer was sent; undefined unless we did that. */
  cutFor: Reason | undefined;

  /** Aborts with ClientGone when the connection closes before the whole answer was sent. */
  get signal(): AbortSignal {
    if (this.#clientGone === undefined) {
      this.#clientGone = new AbortController();
      setMaxListeners(0, this.#clientGone.signal);
      if (this.hasRun && !this.isAnswered) this.#clientGone.abort(new ClientGone());
    }
    return this.#clientGone.signal;
  }

  add(release: () => void): void {
    if (this.hasRun) release();
    else this.#releases.push(release);
  }

  run(): void {
    this.hasRun = true;
    for (const release of this.#releases.splice(0).reverse()) release();
    if (!this.isAnswered) this.#clientGone?.abort(new ClientGone());
  }
}

/** The requests of each connection that have not ended: several where a client pipelines. */
const openRequests = new WeakMap<Socket, Set<RequestCleanup>>();
/** The request of each connection whose head arrived last. */
const latestRequests = new WeakMap<Socket, IncomingMessage>();

/** Returns the cleanup of a request, and makes it where the request has just arrived. */
export function beginCleanup(
  request: IncomingMessage & { cleanup?: RequestCleanup },
  response: ServerResponse,
): RequestCleanup {
  if (request.cleanup !== undefined) return request.cleanup;
  const { socket } = request;
  let open = openRequests.get(socket);
  if (open === undefined) {
    openRequests.set(socket, (open = new Set()));
    // node:http never closes an answer that waits behind another one.
    socket.once('close', () => endRequestsOn(socket));
  }
  const cleanup = (request.cleanup = new RequestCleanup());
  open.add(cleanup);
  cleanup.onConnection = open;
  latestRequests.set(socket, request);
  // node:http emits `finish` for an answer that was cut off too.
  response.once('finish', () => (cleanup.isAnswered = !socket.destroyed));
  response.once('close', () => {
    open.delete(cleanup);
    cleanup.run();
  });
  if (socket.destroyed) cleanup.run();
  return cleanup;
}

/** Returns the request whose head arrived last on this connection, be it answered or not. It is not `complete` while its body is still to come. */
export function latestRequestOn(socket: Socket): IncomingMessage | undefined {
  return latestRequests.get(socket);
}

/** Notes for the log and the metrics why a connection with unanswered requests is cut off. */
export function noteCut(socket: Socket, why: Reason): void {
  for (const cleanup of openRequests.get(socket) ?? []) cleanup.cutFor ??= why;
}

/** Releases everything that the requests of a connection hold; they are not handled any further. */
export function endRequestsOn(socket: Socket): void {
  const open = openRequests.get(socket);
  for (const cleanup of open ?? []) cleanup.run();
  open?.clear();
}

/** Returns how many requests of a connection have not ended; those that wait in the queue count. */
export function openRequestsOn(socket: Socket): number {
  return openRequests.get(socket)?.size ?? 0;
}
