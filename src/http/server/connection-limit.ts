import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type MonotonicTime, SystemMonotonicTime } from '../../time/clock';
import type { LimitsObserver } from '../../limits/rate-limits';
import { openRequestsOn } from './request-cleanup';

/** So many of the oldest are looked at for one without a request. */
const LOOKED_AT = 16;

const LARGEST_SHARE = 1 / 4;
/** Who floods could else have thousands accepted in a second, and everybody waits in the same queue to be accepted. */
const KEPT_MS = 5_000;

/**
 * At most so many sockets, and a quarter of them of one address. A new one beyond that takes the place of one of the address that
 * has the most: the oldest without a request if there is one, else the oldest. That of an address which itself has the most, and more than one,
 * is closed at once, unless one of its own is some seconds old and without a request. So a newcomer finds a place however
 * many addresses flood, and whoever floods costs little.
 */
export class FairSockets {
  readonly #byAddress = new Map<string, Set<Socket>>();
  readonly #addressOf = new WeakMap<Socket, string>();
  readonly #addedMs = new WeakMap<Socket, number>();
  #count = 0;

  constructor(
    private readonly max: number,
    private readonly onClosed: () => void = () => undefined,
    private readonly time: Pick<MonotonicTime, 'nowMs'> = new SystemMonotonicTime(),
    private readonly requestsOn: (socket: Socket) => number = openRequestsOn,
  ) {}

  get count(): number {
    return this.#count;
  }

  add(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const ofAddress = this.#byAddress.get(address) ?? new Set();
    this.#byAddress.set(address, ofAddress.add(socket));
    this.#addressOf.set(socket, address);
    this.#addedMs.set(socket, this.time.nowMs());
    this.#count += 1;
    socket.once('close', () => this.delete(socket));
    if (ofAddress.size <= this.max * LARGEST_SHARE && this.#count <= this.max) return;
    const largest = this.#largest();
    if (largest.size > ofAddress.size || ofAddress.size === 1)
      this.#close(this.#replaceable(largest) ?? oldest(largest));
    else this.#close(this.#replaceable(ofAddress, (one) => this.#isOld(one)) ?? socket);
  }

  /** Counts a socket no more, and leaves it open. */
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
    return this.time.nowMs() - (this.#addedMs.get(socket) ?? 0) >= KEPT_MS;
  }

  /** The oldest that is without a request, of those that are looked at. */
  #replaceable(
    sockets: ReadonlySet<Socket>,
    may: (socket: Socket) => boolean = () => true,
  ): Socket | undefined {
    let looked = 0;
    for (const socket of sockets) {
      if (this.requestsOn(socket) === 0 && may(socket)) return socket;
      looked += 1;
      if (looked === LOOKED_AT) return undefined;
    }
    return undefined;
  }

  #close(socket: Socket | undefined): void {
    if (socket === undefined) return;
    this.delete(socket);
    this.onClosed();
    socket.destroy();
  }
}

function oldest(sockets: ReadonlySet<Socket>): Socket | undefined {
  const [first] = sockets;
  return first;
}

/** Bounds the connections of a server, as FairSockets does, from when they are accepted. */
export function limitConnections(
  server: Pick<Server, 'on'>,
  max: number,
  observer?: Pick<LimitsObserver, 'connectionsOpened' | 'shed'>,
  time?: Pick<MonotonicTime, 'nowMs'>,
): void {
  const secured = securedSockets(server);
  const connections = new FairSockets(
    max,
    () => observer?.shed('connections'),
    time,
    (socket) => openRequestsOn(secured.get(connectionKeyOf(socket)) ?? socket),
  );
  observer?.connectionsOpened(() => connections.count);
  server.on('connection', (socket: Socket) => connections.add(socket));
}

/** By peer, the TLS socket of each connection: requests are made on that, and not on the one that was accepted. */
function securedSockets(server: Pick<Server, 'on'>): ReadonlyMap<string, Socket> {
  const byPeer = new Map<string, Socket>();
  server.on('secureConnection', (socket: Socket) => {
    const peer = connectionKeyOf(socket);
    byPeer.set(peer, socket);
    socket.once('close', () => byPeer.get(peer) === socket && byPeer.delete(peer));
  });
  return byPeer;
}

/** The same of a TLS socket and of the one that it is within. */
export function connectionKeyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
