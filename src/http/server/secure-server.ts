import { type PeerCertificate, TLSSocket } from 'node:tls';
import { type Server, createServer, type ServerOptions as SecureServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import { constants } from 'node:crypto';
import type { Server as PlainServer, ServerOptions } from 'node:http';
import { FairSockets, connectionKeyOf, socketsByPeer } from './connection-limit';
import type { Reloadable } from '../../reloadable/reloadable';

/** The certificate and the key of the server, as PEM. */
export interface ServerIdentity {
  readonly cert: string;
  readonly key: string;
  /** Where these are given, a client must show a certificate of one of them. */
  readonly clientAuthorities?: readonly string[];
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** SSL_OP_NO_RENEGOTIATION, for which Node has no constant. TLS 1.3 has no renegotiation anyway. */
const NO_RENEGOTIATION = 0x4000_0000;

/**
 * Creates an HTTP server behind TLS 1.2 or newer. A new identity is used for new connections; open ones go on. Where
 * clients must show a certificate, sessions are not resumed, so that each connection has it verified again.
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

/** Returns true where the peer's certificate, which the handshake has verified, has one of the subjects. */
export function hasSubjectOf(socket: Socket, allowed: readonly string[]): boolean {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
  const { subject, subjectaltname = '' }: Partial<PeerCertificate> = socket.getPeerCertificate();
  // A list where the certificate has several common names; then none of them counts.
  const name: unknown = subject?.CN;
  const subjects = [...(typeof name === 'string' ? [`CN=${name}`] : []), ...alternativeNames(subjectaltname)];
  return subjects.some((one) => allowed.includes(one));
}

/** Returns the names in `DNS:a, URI:b`. Node writes a name that could be read as two as a JSON string, which matches no subject. */
function alternativeNames(text: string): readonly string[] {
  return [...text.matchAll(/(?:^|, )([^:,"]+):("(?:\\.|[^"\\])*"|[^,"]*)/gy)]
    .filter(([, kind]) => kind === 'DNS' || kind === 'URI')
    .map(([, kind = '', name = '']) => `${kind}=${name}`);
}

/** Each takes about 70 KiB of OpenSSL's memory, and must end within ten seconds. */
const MAX_HANDSHAKES = 512;

/** Tracks connections without a finished TLS handshake: the server does not list them, and they would delay its close. */
export class UnfinishedHandshakes {
  readonly #sockets = new FairSockets(MAX_HANDSHAKES);

  constructor(server: Pick<PlainServer, 'on'>) {
    const accepted = socketsByPeer(server, 'connection');
    server.on('connection', (socket: Socket) => this.#sockets.add(socket));
    server.on('secureConnection', (secured: Socket) => {
      const socket = accepted.get(connectionKeyOf(secured));
      if (socket !== undefined) this.#sockets.delete(socket);
    });
  }

  cut(): void {
    this.#sockets.closeAll();
  }
}
