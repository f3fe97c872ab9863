import { once } from 'node:events';
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Call } from './load-generator';
import type { ServiceTimeQueue } from './service-times';

interface PreparedAnswer {
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
}

/** Stands before a server that answers at once, and lets each call wait as long as a real one takes. */
export class InfisicalFront {
  /** Since the last look. */
  calls = 0;
  /** For warming up: calls are passed on without their turn and their time. */
  atOnce = false;
  /** By the workspace that is listed. */
  readonly #prepared = new Map<string, PreparedAnswer>();
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

  /**
   * Asks for a workspace's secrets once, and answers the same call from memory from then on, as long as nobody writes there. The server behind
   * has one thread, which a list of 7 MiB holds for a tenth of a second; with a real one, other calls do not wait for that.
   */
  async prepare(call: Call): Promise<void> {
    const target = call.url.slice(this.url.length);
    const asked = request(this.behind + target, { method: call.method, headers: call.headers });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const { 'content-type': type = '', etag = '' } = answer.headers;
    this.#prepared.set(workspaceIn(target), { type, etag, body: await buffer(answer) });
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.calls += 1;
    const { method = 'GET', url = '/', headers } = incoming;
    const parts: Buffer[] = [];
    for await (const part of incoming) parts.push(part as Buffer);
    if (!this.atOnce) await this.queue.serve(method, url.split('?')[0] ?? '');
    const prepared = method === 'GET' ? this.#prepared.get(workspaceIn(url)) : undefined;
    if (prepared !== undefined) return sendPrepared(prepared, headers['if-none-match'], outgoing);
    const passed = request(this.behind + url, { method, headers, agent: this.#agent });
    passed.on('error', () => outgoing.destroy());
    passed.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    passed.end(Buffer.concat(parts));
  }
}

function sendPrepared(
  { type, etag, body }: PreparedAnswer,
  known: string | undefined,
  to: ServerResponse,
): void {
  if (known === etag) to.writeHead(304, { etag }).end();
  else to.writeHead(200, { etag, 'content-type': type, 'content-length': body.length }).end(body);
}

/** Returns which workspace and environment a target lists, whatever other parameters it has. */
function workspaceIn(target: string): string {
  const { pathname, searchParams } = new URL(target, 'http://infisical');
  return [pathname, searchParams.get('workspaceId'), searchParams.get('environment')].join(' ');
}
