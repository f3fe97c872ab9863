import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import vectorsFile from '../../client/vectors.json';

export type ScriptedAnswer =
  | 'reset'
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: unknown;
      readonly text?: string;
    };

export interface Vector {
  readonly title: string;
  readonly systemServer?: boolean;
  readonly call: Readonly<Record<string, string>> & { readonly method: string };
  readonly answers: readonly ScriptedAnswer[];
  readonly result?: unknown;
  readonly error?: string;
  readonly requests?: readonly {
    readonly operation: string;
    readonly body?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  }[];
  readonly tokens?: number;
  readonly minimalMs?: number;
  readonly accessAnswer?: unknown;
}

export const VECTORS = vectorsFile.cases as unknown as readonly Vector[];

/** A request for an operation, as it arrived. */
interface Arrived {
  readonly operation: string;
  readonly workspace: string | null;
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
  readonly atMs: number;
}

/** Issues access tokens, and answers operations as a vector says. */
export class ScriptedServer {
  readonly arrived: Arrived[] = [];
  tokens = 0;
  private readonly server: Server;

  private constructor(
    private readonly answers: readonly ScriptedAnswer[],
    private readonly accessAnswer: unknown,
  ) {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () =>
        this.answer(request, response, JSON.parse(Buffer.concat(chunks).toString('utf8'))),
      );
    });
  }

  static async start(answers: readonly ScriptedAnswer[], accessAnswer?: unknown): Promise<ScriptedServer> {
    const server = new ScriptedServer(answers, accessAnswer);
    await new Promise<void>((resolve) => server.server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse, body: unknown): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://here');
    if (pathname === '/permission/v1alpha1/access') {
      this.tokens += 1;
      const data = {
        access_token: `token-${this.tokens}`,
        expired_at: new Date(Date.now() + 300_000).toISOString(),
      };
      send(response, { status: 200, body: this.accessAnswer ?? { code: 0, message: 'success', data } });
      return;
    }
    const [operation = ''] = pathname.split('/').slice(-1);
    const { headers } = request;
    const answer = this.answers[Math.min(this.arrived.length, this.answers.length - 1)] ?? 'reset';
    this.arrived.push({
      operation,
      workspace: searchParams.get('workspace'),
      body,
      headers,
      atMs: Date.now(),
    });
    if (answer === 'reset') request.socket.destroy();
    else send(response, answer);
  }
}

function send(
  response: ServerResponse,
  { status, headers, body, text }: Exclude<ScriptedAnswer, 'reset'>,
): void {
  response.writeHead(status, {
    'content-type': body === undefined ? 'text/html' : 'application/json',
    ...headers,
  });
  response.end(text ?? JSON.stringify(body));
}
