import { createServer as createHttpServer, request, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { KeyAndCertificate } from './certificates';

/** How it answers a CONNECT; a number is the status of a refusal. */
export type ProxyManner = 'open' | 'hang' | 'reset' | number;

/** An HTTP proxy on loopback. Every name resolves to this machine, without DNS. */
export class FakeProxy {
  manner: ProxyManner = 'open';
  /** The targets of all CONNECTs, and the addresses of all forwarded requests. */
  readonly tunnels: string[] = [];
  readonly forwarded: string[] = [];
  /** The Proxy-Authorization of each of them. */
  readonly credentials: (string | undefined)[] = [];
  /** All headers that it received, of both kinds. */
  readonly seen: string[] = [];
  mostOpen = 0;
  readonly #open = new Set<Duplex>();
  readonly #server: Server;

  private constructor(identity?: KeyAndCertificate) {
    this.#server = identity === undefined ? createHttpServer() : createHttpsServer(identity);
    this.#server.on('connection', (socket: Duplex) => {
      this.#open.add(socket);
      this.mostOpen = Math.max(this.mostOpen, this.#open.size);
      socket.once('close', () => this.#open.delete(socket));
      socket.on('error', () => undefined);
    });
    this.#server.on('connect', (asked: IncomingMessage, socket: Duplex) => this.#tunnel(asked, socket));
    this.#server.on('request', (asked: IncomingMessage, answer) => {
      this.#note(asked);
      this.forwarded.push(asked.url ?? '');
      if (typeof this.manner === 'number') {
        answer.writeHead(this.manner).end();
        return;
      }
      const target = new URL(asked.url ?? '');
      const { method, headers } = asked;
      const inner = request(
        { method, headers, host: '127.0.0.1', port: target.port, path: target.pathname + target.search },
        (inside) => {
          answer.writeHead(inside.statusCode ?? 0, inside.headers);
          inside.pipe(answer);
        },
      );
      asked.pipe(inner);
    });
  }

  static async start(identity?: KeyAndCertificate): Promise<FakeProxy> {
    const proxy = new FakeProxy(identity);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get open(): number {
    return this.#open.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #note(asked: IncomingMessage): void {
    this.seen.push(JSON.stringify(asked.rawHeaders));
    this.credentials.push(asked.headers['proxy-authorization']);
  }

  #tunnel(asked: IncomingMessage, socket: Duplex): void {
    this.#note(asked);
    this.tunnels.push(asked.url ?? '');
    const { manner } = this;
    if (manner === 'hang') {
      // Read, so that the end of the client is noticed.
      socket.on('end', () => socket.destroy()).resume();
      return;
    }
    if (manner === 'reset') {
      socket.destroy();
      return;
    }
    if (manner !== 'open') {
      socket.end(`HTTP/1.1 ${manner} Refused\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const inner = connect(Number((asked.url ?? '').split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(inner).pipe(socket);
    });
    inner.on('error', () => socket.destroy());
    inner.once('close', () => socket.destroy());
    socket.once('close', () => inner.destroy());
  }
}
