import { type Server, createServer, type ServerOptions as SecureServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import { FairSockets, connectionKeyOf } from './connection-limit';
import { constants } from 'node:crypto';
import type { ServerOptions } from 'node:http';
import type { Reloadable } from '../../reloadable/reloadable';

/** Each takes some 70 KiB of OpenSSL's; it must end within ten seconds. */
const MAX_HANDSHAKES = 512;

/** Whoever connects and never shakes hands is in none of the server's own lists, and would hold its end up. */
export class UnfinishedHandshakes {
  readonly #byPeer = new Map<string, Socket>();
  readonly #sockets = new FairSockets(MAX_HANDSHAKES);

  constructor(server: Pick<Server, 'on'>) {
    server.on('connection', (socket: Socket) => this.#begin(socket));
    server.on('secureConnection', (secured: Socket) => this.#end(connectionKeyOf(secured)));
  }

  cut(): void {
    this.#sockets.closeAll();
  }

  #begin(socket: Socket): void {
    const peer = connectionKeyOf(socket);
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

/** PEM. */
export interface ServerIdentity {
  readonly cert: string;
  readonly key: string;
  /** Given, a client must show a certificate of one of these. */
  readonly clientAuthorities?: readonly string[];
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** SSL_OP_NO_RENEGOTIATION, which Node has no name for. TLS 1.3 has none of it anyway. */
const NO_RENEGOTIATION = 0x4000_0000;

/**
 * An HTTP server behind TLS 1.2 or newer. A new identity counts for new connections; those that are open go on.
 * Sessions are not resumed where clients must show a certificate: each connection has it verified anew.
 */
export function secureServer(
  limits: ServerOptions & { readonly handshakeTimeout?: number },
  handler: Parameters<typeof createServer>[1],
  identity: Reloadable<ServerIdentity>,
): Server {
  const server = createServer(
    { handshakeTimeout: HANDSHAKE_TIMEOUT_MS, ...limits, ...secureContextOf(identity.current()) },
    handler,
  );
  identity.whenChanged((renewed) => server.setSecureContext(secureContextOf(renewed)));
  return server;
}

function secureContextOf({ cert, key, clientAuthorities }: ServerIdentity): SecureServerOptions {
  const asksClients = clientAuthorities !== undefined;
  return {
    cert,
    key,
    minVersion: 'TLSv1.2',
    secureOptions: NO_RENEGOTIATION | (asksClients ? constants.SSL_OP_NO_TICKET : 0),
    honorCipherOrder: true,
    ...(asksClients && { ca: [...clientAuthorities], requestCert: true, rejectUnauthorized: true }),
  };
}
