import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ServiceTimeQueue } from './service-times';

/** Stands before a server that answers at once, and lets each call wait as long as a real one takes. */
export class InfisicalFront {
  /** Since the last look. */
  calls = 0;
  /** For warming up: calls are passed on without their turn and their time. */
  atOnce = false;
  readonly #agent = new Agent({ keepAlive: true });
  #server: Server | undefined;
  #port = 0;

  constructor(
    private readonly behind: string,
    private readonly queue: ServiceTimeQueue,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** On the same port each time. */
  async comeUp(): Promise<void> {
    const server = createServer((incoming, outgoing) => void this.#pass(incoming, outgoing));
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Nobody listens any more, and whoever was connected is cut off. */
  async goDown(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.calls += 1;
    const { method = 'GET', url = '/', headers } = incoming;
    const parts: Buffer[] = [];
    for await (const part of incoming) parts.push(part as Buffer);
    if (!this.atOnce) await this.queue.serve(method, url.split('?')[0] ?? '');
    const passed = request(this.behind + url, { method, headers, agent: this.#agent });
    passed.on('error', () => outgoing.destroy());
    passed.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    passed.end(Buffer.concat(parts));
  }
}
