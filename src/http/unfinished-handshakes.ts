import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { FairSockets, peerOf } from './connection-limit';

/** Each takes some 70 KiB of OpenSSL's; it must end within ten seconds. */
const MAX_HANDSHAKES = 512;

/** Whoever connects and never shakes hands is in none of the server's own lists, and would hold its end up. */
export class UnfinishedHandshakes {
  readonly #byPeer = new Map<string, Socket>();
  readonly #sockets = new FairSockets(MAX_HANDSHAKES);

  constructor(server: Pick<Server, 'on'>) {
    server.on('connection', (socket: Socket) => this.#begin(socket));
    server.on('secureConnection', (secured: Socket) => this.#end(peerOf(secured)));
  }

  cut(): void {
    this.#sockets.closeAll();
  }

  #begin(socket: Socket): void {
    const peer = peerOf(socket);
    this.#byPeer.set(peer, socket);
    // The same peer may have connected anew meanwhile.
    socket.once('close', () => this.#byPeer.get(peer) === socket && this.#byPeer.delete(peer));
    this.#sockets.add(socket);
  }

  #end(peer: string): void {
    const socket = this.#byPeer.get(peer);
    this.#byPeer.delete(peer);
    if (socket !== undefined) this.#sockets.delete(socket);
  }
}
