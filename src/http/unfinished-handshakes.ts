import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { SharedCapacity, type Release } from '../protection/shared-capacity';

interface Handshake {
  readonly socket: Socket;
  readonly release: Release;
}

/** Each takes some 70 KiB of OpenSSL's; it must end within ten seconds. */
const MAX_HANDSHAKES = 512;

/**
 * Whoever connects and never shakes hands is in none of the server's own lists, and would hold its end up. So many may be
 * at it at once, shared among the addresses that they come from.
 */
export class UnfinishedHandshakes {
  readonly #byPeer = new Map<string, Handshake>();
  readonly #capacity: SharedCapacity;

  constructor(server: Pick<Server, 'on'>, max = MAX_HANDSHAKES) {
    this.#capacity = new SharedCapacity(max);
    server.on('connection', (socket: Socket) => this.#begin(socket));
    server.on('secureConnection', (socket: Socket) => this.#end(peerOf(socket)));
  }

  cut(): void {
    for (const { socket } of this.#byPeer.values()) socket.destroy();
  }

  #begin(socket: Socket): void {
    const release = this.#capacity.take(socket.remoteAddress ?? '');
    if (typeof release !== 'function') {
      socket.destroy();
      return;
    }
    const peer = peerOf(socket);
    this.#byPeer.set(peer, { socket, release });
    // The same peer may have connected anew meanwhile.
    socket.once('close', () => (this.#byPeer.get(peer)?.socket === socket ? this.#end(peer) : release()));
  }

  #end(peer: string): void {
    this.#byPeer.get(peer)?.release();
    this.#byPeer.delete(peer);
  }
}

/** A connection's TLS socket is another object than the one that was accepted. */
function peerOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
