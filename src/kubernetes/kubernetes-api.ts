import type { RequestOptions } from 'node:https';
import { StringDecoder } from 'node:string_decoder';
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { MonotonicTime } from '../time/clock';

/** Where the API server is, and what every request to it needs: CA, certificates, our own token. */
export interface ApiConnection {
  /** `https://host:port`, without a trailing slash. */
  readonly server: string;
  /** Read for each request, since the kubelet renews our token every hour. @throws where a file cannot be read */
  options(): RequestOptions;
}

/**
 * What is kept of a failed call to the API server. Its message, its headers and the library's error objects may hold
 * tokens and objects, so none of them is.
 */
export class KubernetesFailure extends Error {
  constructor(
    /** A word of Kubernetes (`Expired`), of the system (`ECONNREFUSED`) or of ours (`Timeout`). */
    readonly reason: string,
    /** Undefined where no answer came. */
    readonly status?: number,
    readonly retryAfterMs?: number,
    /** Which field of an object that we sent was refused, as a path; never its content. */
    readonly field?: string,
  ) {
    super(status === undefined ? reason : `${status} ${reason}`);
    this.name = 'KubernetesFailure';
  }

  /** The version that we hold, or the page that we ask for, is too old: only a new list helps. */
  get gone(): boolean {
    return this.status === 410;
  }
}

const WORD = /^[A-Za-z0-9_]{1,64}$/;
const FIELD = /^[A-Za-z0-9_.[\]]{1,128}$/;
const MAX_RETRY_AFTER_S = 60;

/** @param answer a parsed `Status` object, or whatever came instead */
function refusedWith(status: number, answer: unknown, retryAfter?: string): KubernetesFailure {
  const reason = typeof answer === 'object' && answer !== null && 'reason' in answer ? answer.reason : '';
  const word = typeof reason === 'string' && WORD.test(reason) ? reason : 'Refused';
  const seconds = /^\d{1,4}$/.test(retryAfter ?? '')
    ? Math.min(Number(retryAfter), MAX_RETRY_AFTER_S)
    : undefined;
  const retryAfterMs = seconds === undefined ? undefined : seconds * 1000;
  return new KubernetesFailure(word, status, retryAfterMs, status === 422 ? refusedField(answer) : undefined);
}

/** The first one that a 422 names. */
function refusedField(answer: unknown): string | undefined {
  const { details } = answer as { readonly details?: { readonly causes?: unknown } | null };
  const causes: unknown = details?.causes;
  const [first] = Array.isArray(causes) ? (causes as readonly unknown[]) : [];
  const field = typeof first === 'object' && first !== null && 'field' in first ? first.field : undefined;
  return typeof field === 'string' && FIELD.test(field) ? field : undefined;
}

/** Of anything that was thrown: a system's code at most. */
export function kubernetesFailureOf(error: unknown): KubernetesFailure {
  if (error instanceof KubernetesFailure) return error;
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : '';
  return new KubernetesFailure(typeof code === 'string' && WORD.test(code) ? code : 'Failed');
}

/** etcd holds objects of 1.5 MiB at most. */
const MAX_LINE_LENGTH = 8 * 1024 * 1024;

/** Cuts a stream of bytes into JSON values, one a line. A line that is not JSON is a failure, never skipped. */
class JsonLines {
  private readonly decoder = new StringDecoder('utf8');
  private rest = '';

  constructor(private readonly onValue: (value: unknown) => void) {}

  /** @throws KubernetesFailure */
  write(bytes: Buffer): void {
    const lines = (this.rest + this.decoder.write(bytes)).split('\n');
    this.rest = lines.pop() ?? '';
    if (this.rest.length > MAX_LINE_LENGTH) throw new KubernetesFailure('TooLarge');
    for (const line of lines) if (line.trim() !== '') this.onValue(parseJson(line));
  }

  /** @throws KubernetesFailure where the stream ended inside a line */
  end(): void {
    if (this.rest.trim() !== '') throw new KubernetesFailure('Truncated');
  }
}

/** @throws KubernetesFailure; the parser's error would quote the text */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new KubernetesFailure('MalformedAnswer');
  }
}

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** For the whole call, its answer included. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A host that is away swallows what is sent to it: asked again, it may be back. */
const CONNECT_MS = 3_000;
/** A peer that has nothing to say is asked after so long whether it is still there, and a dead one is given up 10 s later. */
const KEEP_ALIVE_MS = 5_000;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;

/** Calls of the Kubernetes API. Whatever goes wrong is a KubernetesFailure, which keeps a status and a word. */
export class KubernetesApi {
  constructor(
    private readonly connection: ApiConnection,
    private readonly time: MonotonicTime,
  ) {}

  /** The parsed answer. A PATCH is a JSON merge patch. @throws KubernetesFailure */
  send(call: ApiCall): Promise<unknown> {
    return this.exchange(call, async (answer) => {
      const text = await textOf(answer, MAX_ANSWER_BYTES);
      return parseJson(text);
    });
  }

  /** Hands over each line of a watch as it comes; resolves where the server ended it in good order. */
  watch(call: ApiCall, onValue: (value: unknown) => void): Promise<void> {
    return this.exchange(call, async (answer) => {
      const lines = new JsonLines(onValue);
      for await (const chunk of answer) lines.write(chunk as Buffer);
      lines.end();
    });
  }

  private async exchange<T>(call: ApiCall, read: (answer: IncomingMessage) => Promise<T>): Promise<T> {
    const cut = new AbortController();
    const stop = () => cut.abort();
    let late = false;
    const giveUp = (): void => {
      late = true;
      cut.abort();
    };
    const cancel = this.time.after(call.timeoutMs, giveUp);
    call.signal?.addEventListener('abort', stop, { once: true });
    try {
      if (call.signal?.aborted) throw new KubernetesFailure('Stopped');
      const answer = await this.open(call, cut.signal, giveUp);
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return await read(answer);
      throw refusedWith(status, await refusalOf(answer), answer.headers['retry-after']);
    } catch (error: unknown) {
      if (late) throw new KubernetesFailure('Timeout');
      throw kubernetesFailureOf(error);
    } finally {
      cancel();
      call.signal?.removeEventListener('abort', stop);
      // Also ends the socket of an answer that was not read to its end.
      cut.abort();
    }
  }

  private async open(call: ApiCall, signal: AbortSignal, giveUp: () => void): Promise<IncomingMessage> {
    const url = new URL(`${this.connection.server}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    const options = this.connection.options();
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const contentType = call.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const headers = {
      ...options.headers,
      accept: 'application/json',
      ...(body === undefined
        ? {}
        : { 'content-type': contentType, 'content-length': String(Buffer.byteLength(body)) }),
    };
    return new Promise((resolve, reject) => {
      const isTls = url.protocol === 'https:';
      const start = isTls ? httpsRequest : httpRequest;
      const sent: ClientRequest = start(url, { ...options, method: call.method, headers, signal }, resolve);
      sent.on('error', reject);
      sent.on('socket', (socket) => {
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
        if (!socket.connecting) return;
        const cancel = this.time.after(CONNECT_MS, giveUp);
        socket.once(isTls ? 'secureConnect' : 'connect', cancel);
        sent.once('close', cancel);
      });
      sent.end(body);
    });
  }
}

async function textOf(answer: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes) throw new KubernetesFailure('TooLarge');
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function refusalOf(answer: IncomingMessage): Promise<unknown> {
  try {
    return parseJson(await textOf(answer, MAX_REFUSAL_BYTES));
  } catch {
    return undefined;
  }
}
