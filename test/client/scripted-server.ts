import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import vectorsFile from '../../client/vectors.json';

export type ScriptedAnswer =
  | 'reset'
  | 'cut'
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
  /** Of each request for an access token the operations that it asked for. */
  readonly ops?: readonly (readonly string[])[];
  readonly minimalMs?: number;
  readonly userToken?: string;
  readonly accessAnswers?: readonly (ScriptedAnswer | 'issue')[];
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
  /** The operations of each request for an access token. */
  readonly ops: unknown[] = [];
  tokens = 0;
  /** Of any request. */
  firstAtMs = 0;
  private readonly server: Server;

  private constructor(
    private readonly answers: readonly ScriptedAnswer[],
    private readonly accessAnswers: NonNullable<Vector['accessAnswers']>,
  ) {
    this.server = createServer((request, response) => {
      this.firstAtMs ||= performance.now();
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () =>
        this.answer(request, response, JSON.parse(Buffer.concat(chunks).toString('utf8'))),
      );
    });
  }

  static async start(
    answers: readonly ScriptedAnswer[],
    accessAnswers: Vector['accessAnswers'] = ['issue'],
  ): Promise<ScriptedServer> {
    const server = new ScriptedServer(answers, accessAnswers);
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
      const scripted = inTurn(this.accessAnswers, this.tokens);
      this.tokens += 1;
      this.ops.push((body as { readonly perm?: { readonly ops?: unknown } }).perm?.ops);
      const data = {
        access_token: `token-${this.tokens}`,
        expired_at: new Date(Date.now() + 300_000).toISOString(),
      };
      const issued = { status: 200, body: { code: 0, message: 'success', data } };
      send(response, scripted === 'issue' ? issued : scripted);
      return;
    }
    const [operation = ''] = pathname.split('/').slice(-1);
    const { headers } = request;
    const answer = inTurn(this.answers, this.arrived.length);
    this.arrived.push({
      operation,
      workspace: searchParams.get('workspace'),
      body,
      headers,
      atMs: performance.now(),
    });
    send(response, answer);
  }
}

/** The last one again and again. */
function inTurn<T>(answers: readonly T[], index: number): T | 'reset' {
  return answers[Math.min(index, answers.length - 1)] ?? 'reset';
}

function send(response: ServerResponse, answer: ScriptedAnswer): void {
  if (answer === 'reset') {
    response.destroy();
    return;
  }
  if (answer === 'cut') {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
    response.write('{"code":200,', () => response.destroy());
    return;
  }
  const { status, headers, body, text } = answer;
  response.writeHead(status, {
    'content-type': body === undefined ? 'text/html' : 'application/json',
    ...headers,
  });
  response.end(text ?? JSON.stringify(body));
}
