import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Owns what one request holds: its count among the requests in flight, memory, its line in the log. Everything is
 * released once, in reverse order, when the answer has ended or the connection has closed, whichever comes first; what is
 * added afterwards is released at once.
 */
export class RequestCleanup {
  #releases: (() => void)[] | undefined = [];
  #isAnswered = false;

  /** True once the whole answer was handed to the operating system. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** True once the answer has ended or its client has gone. */
  get hasRun(): boolean {
    return this.#releases === undefined;
  }

  add(release: () => void): void {
    if (this.#releases === undefined) release();
    else this.#releases.push(release);
  }

  answered(): void {
    this.#isAnswered = true;
  }

  run(): void {
    const releases = this.#releases ?? [];
    this.#releases = undefined;
    for (const release of releases.reverse()) release();
  }
}

/** The open requests of each connection: several where a client pipelines. */
const openRequests = new WeakMap<Socket, Set<RequestCleanup>>();

/** Makes the cleanup of a request that has just arrived. */
export function beginCleanup({ socket }: IncomingMessage, response: ServerResponse): RequestCleanup {
  const open = openRequests.get(socket) ?? watchedConnection(socket);
  const cleanup = new RequestCleanup();
  open.add(cleanup);
  // node:http emits `finish` for an answer that was cut off too.
  response.once('finish', () => {
    if (!socket.destroyed) cleanup.answered();
  });
  response.once('close', () => {
    open.delete(cleanup);
    cleanup.run();
  });
  if (socket.destroyed) cleanup.run();
  return cleanup;
}

/** Ends the requests of a connection when it closes: node:http never closes an answer that waits behind another one. */
function watchedConnection(socket: Socket): Set<RequestCleanup> {
  const open = new Set<RequestCleanup>();
  openRequests.set(socket, open);
  socket.once('close', () => endRequestsOn(socket));
  return open;
}

/** How many requests of each connection have arrived and wait in the queue. */
const waitingRequests = new WeakMap<Socket, number>();
/** The request of each connection whose head arrived last. */
const latestRequests = new WeakMap<Socket, IncomingMessage>();

/** Counts a request as open while it waits in the queue, until the returned function is called. */
export function countWaitingRequest(request: IncomingMessage): () => void {
  const { socket } = request;
  latestRequests.set(socket, request);
  waitingRequests.set(socket, (waitingRequests.get(socket) ?? 0) + 1);
  return () => void waitingRequests.set(socket, (waitingRequests.get(socket) ?? 1) - 1);
}

/** Returns true while the body of a request is still to come on this connection. */
export function isReceivingBodyOn(socket: Socket): boolean {
  return latestRequests.get(socket)?.complete === false;
}

/** Releases everything that the requests of a connection hold; they are not handled any further. */
export function endRequestsOn(socket: Socket): void {
  const open = openRequests.get(socket) ?? new Set();
  for (const cleanup of open) cleanup.run();
  open.clear();
}

/** Returns how many requests of a connection have not ended. */
export function openRequestsOn(socket: Socket): number {
  return (openRequests.get(socket)?.size ?? 0) + (waitingRequests.get(socket) ?? 0);
}
