import type { Server } from 'node:https';
import type { Socket } from 'node:net';

/** Whoever connects and never shakes hands is in none of the server's own lists, and would hold its end up. */
export class UnfinishedHandshakes {
  readonly #sockets = new Map<string, Socket>();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket);
      this.#sockets.set(peer, socket);
      socket.once('close', () => this.#forget(peer, socket));
    });
    server.on('secureConnection', (socket) => this.#sockets.delete(peerOf(socket)));
  }

  cut(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  /** The same peer may have connected anew meanwhile. */
  #forget(peer: string, socket: Socket): void {
    if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer);
  }
}

/** A connection's TLS socket is another object than the one that was accepted. */
function peerOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
