import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Owns what one request holds: its place among the requests in flight, memory, its line in the log. Everything is given
 * back once, in reverse order, when the answer has ended or the connection has closed, whichever comes first; what is
 * added afterwards is given back at once.
 */
export class RequestCleanup {
  #releases: (() => void)[] | undefined = [];
  #isAnswered = false;

  /** True once all of the answer was handed to the operating system. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** True when the answer has ended or nobody is left to read it. */
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

/** The requests of each connection that have not ended: several, where a client does not wait for its answers. */
const openRequests = new WeakMap<Socket, Set<RequestCleanup>>();

/** Makes the cleanup of a request that has just arrived. */
export function beginCleanup({ socket }: IncomingMessage, response: ServerResponse): RequestCleanup {
  const open = openRequests.get(socket) ?? watchedConnection(socket);
  const cleanup = new RequestCleanup();
  open.add(cleanup);
  // Of an answer that was cut off, node:http says `finish` and `writableFinished` too.
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

/** Of each connection, how many requests have arrived and were not begun. */
const waitingRequests = new WeakMap<Socket, number>();
/** Of each connection, the one whose head came last. */
const latestRequests = new WeakMap<Socket, IncomingMessage>();

/** Counts a request that has arrived as open although it is not begun yet, until that which is returned is called. */
export function awaitPermit(request: IncomingMessage): () => void {
  const { socket } = request;
  latestRequests.set(socket, request);
  waitingRequests.set(socket, (waitingRequests.get(socket) ?? 0) + 1);
  return () => void waitingRequests.set(socket, (waitingRequests.get(socket) ?? 1) - 1);
}

/** Whether the body of a request is still to come on this connection. */
export function isReceivingBodyOn(socket: Socket): boolean {
  return latestRequests.get(socket)?.complete === false;
}

/** Gives back all that the requests of a connection hold, which are not done any more. */
export function endRequestsOn(socket: Socket): void {
  const open = openRequests.get(socket) ?? new Set();
  for (const cleanup of open) cleanup.run();
  open.clear();
}

/** How many requests of a connection have not ended. */
export function openRequestsOn(socket: Socket): number {
  return (openRequests.get(socket)?.size ?? 0) + (waitingRequests.get(socket) ?? 0);
}

/** An answer that waits behind another one of its connection is never closed by node:http: so the connection is asked too. */
function watchedConnection(socket: Socket): Set<RequestCleanup> {
  const open = new Set<RequestCleanup>();
  openRequests.set(socket, open);
  socket.once('close', () => endRequestsOn(socket));
  return open;
}
