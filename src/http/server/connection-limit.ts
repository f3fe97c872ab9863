import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type MonotonicTime, SystemMonotonicTime } from '../../time/clock';
import type { LimitsObserver } from '../../limits/rate-limits';
import type { ProviderRequest } from '../request/provider-request';
import {
  acceptFairly,
  CONNECTION_BOUNDS,
  type ConnectionBounds,
  ConnectionRates,
} from './accepted-connections';
import { CallerAddresses } from './fair-turns';
import { noteCut, openRequestsOn } from './request-cleanup';

/** How many of the oldest sockets are searched for one without a request. */
const MAX_EXAMINED = 16;

const MAX_SHARE_OF_ADDRESS = 1 / 4;
/** An address that floods replaces its own sockets no sooner: else it could have thousands accepted in a second, and all clients wait in the same accept queue. */
const MIN_AGE_OF_REPLACED_MS = 5_000;

/**
 * Holds at most `max` sockets, and a quarter of them of one address. A new one beyond that replaces a socket of the address
 * that has the most: the oldest without a request if there is one, else the oldest. Where the new socket's own address has
 * the most, it is closed at once, unless one of that address is some seconds old and without a request. So a newcomer is
 * served however many addresses flood, and a flood costs little.
 */
export class FairSockets {
  readonly #byAddress = new Map<string, Set<Socket>>();
  readonly #addressOf = new WeakMap<Socket, string>();
  readonly #addedMs = new WeakMap<Socket, number>();
  #count = 0;

  constructor(
    private readonly max: number,
    private readonly onClosed: (socket: Socket) => void = () => undefined,
    private readonly time: Pick<MonotonicTime, 'nowMs'> = new SystemMonotonicTime(),
    private readonly requestsOn: (socket: Socket) => number = openRequestsOn,
  ) {}

  get count(): number {
    return this.#count;
  }

  /** Returns true where a new socket of this address would be closed at once. */
  refuses(address: string): boolean {
    const ofAddress = this.#byAddress.get(address);
    const size = (ofAddress?.size ?? 0) + 1;
    if (size <= this.max * MAX_SHARE_OF_ADDRESS && this.#count < this.max) return false;
    if (ofAddress === undefined || this.#largest().size > size) return false;
    return this.#replaceable(ofAddress, (one) => this.#isOld(one)) === undefined;
  }

  add(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const ofAddress = this.#byAddress.get(address) ?? new Set();
    this.#byAddress.set(address, ofAddress.add(socket));
    this.#addressOf.set(socket, address);
    this.#addedMs.set(socket, this.time.nowMs());
    this.#count += 1;
    socket.once('close', () => this.delete(socket));
    if (ofAddress.size <= this.max * MAX_SHARE_OF_ADDRESS && this.#count <= this.max) return;
    const largest = this.#largest();
    if (largest.size > ofAddress.size || ofAddress.size === 1)
      this.#close(this.#replaceable(largest) ?? largest.values().next().value);
    else this.#close(this.#replaceable(ofAddress, (one) => this.#isOld(one)) ?? socket);
  }

  /** Stops counting a socket, and leaves it open. */
  delete(socket: Socket): void {
    const address = this.#addressOf.get(socket) ?? '';
    const ofAddress = this.#byAddress.get(address);
    if (ofAddress?.delete(socket) !== true) return;
    this.#count -= 1;
    if (ofAddress.size === 0) this.#byAddress.delete(address);
  }

  closeAll(): void {
    for (const sockets of this.#byAddress.values()) for (const socket of sockets) socket.destroy();
  }

  #largest(): ReadonlySet<Socket> {
    return [...this.#byAddress.values()].reduce((most, other) => (other.size > most.size ? other : most));
  }

  #isOld(socket: Socket): boolean {
    return this.time.nowMs() - (this.#addedMs.get(socket) ?? 0) >= MIN_AGE_OF_REPLACED_MS;
  }

  /** Returns the oldest socket without a request, of the few that are examined. */
  #replaceable(
    sockets: ReadonlySet<Socket>,
    mayReplace: (socket: Socket) => boolean = () => true,
  ): Socket | undefined {
    let examined = 0;
    for (const socket of sockets) {
      if (this.requestsOn(socket) === 0 && mayReplace(socket)) return socket;
      examined += 1;
      if (examined === MAX_EXAMINED) return undefined;
    }
    return undefined;
  }

  #close(socket: Socket | undefined): void {
    if (socket === undefined) return;
    this.delete(socket);
    this.onClosed(socket);
    socket.destroy();
  }
}

interface LimitOptions {
  readonly observer?: Pick<LimitsObserver, 'connectionsOpened' | 'shed'> | undefined;
  readonly time?: Pick<MonotonicTime, 'nowMs'>;
  /** Called for each connection that was accepted, before there is a socket. */
  readonly onAccepted?: () => void;
  /** Who comes first where many connect. */
  readonly callers?: CallerAddresses;
  readonly bounds?: ConnectionBounds;
}

/** Limits the connections of a server as FairSockets and ConnectionRates do, from the moment they are accepted. */
export function limitConnections(
  server: Pick<Server, 'on' | 'listening'>,
  max: number,
  options: LimitOptions = {},
): void {
  const { observer, time = new SystemMonotonicTime(), onAccepted = () => undefined } = options;
  const { callers = new CallerAddresses(time), bounds = CONNECTION_BOUNDS } = options;
  const rates = new ConnectionRates(time, bounds);
  // Requests arrive on the TLS sockets, and not on those that were accepted.
  const secured = socketsByPeer(server, 'secureConnection');
  const onShed = (): void => observer?.shed('connections');
  const withRequests = (socket: Socket): Socket => secured.get(connectionKeyOf(socket)) ?? socket;
  const onClosed = (socket: Socket): void => {
    onShed();
    noteCut(withRequests(socket), 'OVERLOADED');
  };
  const connections = new FairSockets(max, onClosed, time, (socket) => openRequestsOn(withRequests(socket)));
  observer?.connectionsOpened(() => connections.count);
  const isBeyondShare = (address: string): boolean => connections.refuses(address);
  const isRefused = (address: string): boolean =>
    isBeyondShare(address) || !rates.take(address, callers.has(address));
  acceptFairly(server, { isRefused, isBeyondShare, onAccepted, onShed }, callers, time, bounds);
  server.on('connection', (socket: Socket) => connections.add(socket));
  whenAuthenticated(server, time, (address, isFirst) => {
    if (isFirst) rates.giveBack(address);
    callers.add(address);
  });
}

/** So often it is noted that callers are authenticated on a connection; a fraction of the time for which its address counts as theirs. */
const NOTED_EVERY_MS = 5_000;

/** Calls back for connections on which a caller was authenticated who is within the rate limits, and whether it is the first time on this one. */
function whenAuthenticated(
  server: Pick<Server, 'on'>,
  time: Pick<MonotonicTime, 'nowMs'>,
  then: (address: string, isFirst: boolean) => void,
): void {
  const notedMs = new WeakMap<Socket, number>();
  server.on('request', (request: Partial<ProviderRequest> & IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    const beforeMs = notedMs.get(socket);
    if (beforeMs !== undefined && time.nowMs() - beforeMs < NOTED_EVERY_MS) return;
    const { remoteAddress = '' } = socket;
    response.once('finish', () => {
      const { caller, user, access, failure, hasProvenPeer = false } = request;
      const isProven = (caller ?? user ?? access?.app) !== undefined || hasProvenPeer;
      if (!isProven || failure === 'TOO_MANY_REQUESTS') return;
      const isFirst = !notedMs.has(socket);
      notedMs.set(socket, time.nowMs());
      then(remoteAddress, isFirst);
    });
  });
}

/** Returns the open sockets, or the TLS sockets above them, by the keys of their connections. */
export function socketsByPeer(
  server: Pick<Server, 'on'>,
  event: 'connection' | 'secureConnection',
): ReadonlyMap<string, Socket> {
  const byPeer = new Map<string, Socket>();
  server.on(event, (socket: Socket) => {
    const peer = connectionKeyOf(socket);
    byPeer.set(peer, socket);
    // The same peer may have connected again meanwhile.
    socket.once('close', () => byPeer.get(peer) === socket && byPeer.delete(peer));
  });
  return byPeer;
}

/** Returns a key that is equal for a TLS socket and the socket below it. */
export function connectionKeyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
