import { connect, type AddressInfo, type Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import type { KeyAndCertificate } from './certificates';

/** A TLS server on loopback that forwards all bytes to a plain server. */
export class TlsFront {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #raw = new Map<number | undefined, Socket>();
  #breaksNextAnswer = false;
  /** The number of successful handshakes. */
  accepted = 0;

  private constructor(identity: KeyAndCertificate, behindUrl: string) {
    const behind = Number(new URL(behindUrl).port);
    this.#server = createServer(identity, (socket) => {
      this.accepted += 1;
      const inner = connect(behind, '127.0.0.1');
      for (const [one, other] of [
        [socket, inner],
        [inner, socket],
      ] as const) {
        this.#sockets.add(one);
        one.once('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.on('error', () => other.destroy());
        if (one === socket) one.pipe(other);
      }
      inner.on('data', (bytes) => {
        if (!this.#breaksNextAnswer) return void socket.write(bytes);
        this.#breaksNextAnswer = false;
        this.#raw.get(socket.remotePort)?.write('HTTP/1.1 502 Bad Gateway\r\n\r\nin the clear');
      });
    });
    this.#server.on('connection', (raw: Socket) => this.#raw.set(raw.remotePort, raw));
    // A client that does not trust us closes the connection during the handshake.
    this.#server.on('tlsClientError', () => undefined);
  }

  static async start(identity: KeyAndCertificate, behindUrl: string): Promise<TlsFront> {
    const front = new TlsFront(identity, behindUrl);
    await new Promise<void>((resolve) => front.#server.listen(0, '127.0.0.1', resolve));
    return front;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  renew(identity: KeyAndCertificate): void {
    this.#server.setSecureContext(identity);
  }

  /** Answers the next data of the server behind it with bytes that are not TLS. */
  breakNextAnswer(): void {
    this.#breaksNextAnswer = true;
  }

  /** Closes persistent connections, as after an idle time. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
