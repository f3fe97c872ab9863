import { type Agent, request, type IncomingHttpHeaders } from 'node:http';
import { request as secureRequest } from 'node:https';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body; undefined where it is not JSON. */
  readonly body: ReturnType<typeof JSON.parse>;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Strings and bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
  /** The local address that the call comes from, of 127.0.0.0/8. */
  readonly from?: string;
  /** For https: the trusted authorities, and the caller's own certificate. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
  /** Keeps connections for further calls. */
  readonly agent?: Agent;
  /** Aborts when the caller is to hang up. */
  readonly signal?: AbortSignal;
}

/** By the origin of a server, what every answer of it must pass; it throws. */
export const answerChecks = new Map<string, (method: string, url: string, answer: Answer) => void>();

/** Sends one request over real HTTP, without an agent on a connection of its own; it adds only a JSON content type for JSON bodies. */
export async function httpCall(url: string, call: Call = {}): Promise<Answer> {
  const raw = typeof call.body === 'string' || call.body instanceof Uint8Array;
  const payload =
    call.body === undefined ? undefined : raw ? (call.body as string) : JSON.stringify(call.body);
  const headers: Record<string, string | string[]> = {
    ...(payload === undefined ? {} : { 'content-length': String(Buffer.byteLength(payload)) }),
    ...(payload === undefined || raw ? {} : { 'content-type': 'application/json' }),
    ...call.headers,
  };
  return new Promise((resolve, reject) => {
    const from = call.from === undefined ? {} : { localAddress: call.from };
    const { method = 'POST', agent = false, signal } = call;
    const options = { method, headers, agent, ...from, ...call.tls, ...(signal && { signal }) } as const;
    const send = url.startsWith('https:') ? secureRequest : request;
    const sent = send(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const { statusCode: status = 0, headers: received } = response;
        const answer = { status, headers: received, text, body: parsed(text) };
        try {
          answerChecks.get(new URL(url).origin)?.(options.method, url, answer);
          resolve(answer);
        } catch (error: unknown) {
          reject(error instanceof Error ? error : new Error('the answer was not checked'));
        }
      });
    });
    sent.on('error', reject);
    sent.end(payload);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
