import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { ProtectionObserver } from '../protection/protection-observer';
import { openRequestsOn } from './request-cleanup';

/** So many of the oldest are looked at for one without a request. */
const LOOKED_AT = 16;

/**
 * At most so many sockets, and half of them of one address. A new one beyond that takes the place of one of its own address,
 * or of the address that has the most: the oldest without a request if there is one, else the oldest. So whoever floods
 * closes their own, and a newcomer finds a place however many addresses flood.
 */
export class FairSockets {
  readonly #byAddress = new Map<string, Set<Socket>>();
  readonly #addressOf = new WeakMap<Socket, string>();
  #count = 0;

  constructor(
    private readonly max: number,
    private readonly onClosed: () => void = () => undefined,
  ) {}

  get count(): number {
    return this.#count;
  }

  add(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const ofAddress = this.#byAddress.get(address) ?? new Set();
    this.#byAddress.set(address, ofAddress.add(socket));
    this.#addressOf.set(socket, address);
    this.#count += 1;
    socket.once('close', () => this.delete(socket));
    if (ofAddress.size > this.max / 2) this.#closeOneOf(ofAddress);
    else if (this.#count > this.max) this.#closeOneOf(this.#largest());
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

  #closeOneOf(sockets: ReadonlySet<Socket>): void {
    const oldest: Socket[] = [];
    for (const socket of sockets) if (oldest.push(socket) === LOOKED_AT) break;
    const closed = oldest.find((socket) => openRequestsOn(socket) === 0) ?? oldest[0];
    if (closed === undefined) return;
    this.delete(closed);
    this.onClosed();
    closed.destroy();
  }
}

/** Bounds the connections of a server, as FairSockets does, from when they are accepted. */
export function limitConnections(
  server: Pick<Server, 'on'>,
  max: number,
  observer?: Pick<ProtectionObserver, 'connectionsOpened' | 'shed'>,
): void {
  const connections = new FairSockets(max, () => observer?.shed('connections'));
  observer?.connectionsOpened(() => connections.count);
  server.on('connection', (socket: Socket) => connections.add(socket));
}
