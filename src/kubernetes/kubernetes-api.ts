import { request as httpsRequest, type RequestOptions } from 'node:https';
import { StringDecoder } from 'node:string_decoder';
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { errorCodeOf } from '../errors/domain-error';
import { itemsOf, ownField } from '../json/json';
import type { MonotonicTime } from '../time/clock';

/** The address of the API server, and what every request to it needs: CA, certificates, our own token. */
export interface ApiConnection {
  /** `https://host:port`, without a trailing slash. */
  readonly server: string;
  /** Read for each request, since the kubelet renews our token every hour. @throws where a file cannot be read */
  options(): RequestOptions;
}

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** Without those that are undefined. */
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** For the whole call, including its answer. */
  readonly timeoutMs: number;
  /** A larger answer fails with `TooLarge`; 256 MiB where it is not stated. */
  readonly maxBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A host that is down may drop our packets silently; the next attempt finds it when it is back. */
const CONNECT_TIMEOUT_MS = 3_000;
/** A silent peer is probed after this time; a dead one is given up 10 s later. */
const KEEP_ALIVE_MS = 5_000;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;

/** Calls the Kubernetes API. Every failure is a KubernetesFailure, which has only a status and a word. */
export class KubernetesApi {
  constructor(
    private readonly connection: ApiConnection,
    private readonly time: MonotonicTime,
  ) {}

  /** Returns the parsed answer. A PATCH is a JSON merge patch. @throws KubernetesFailure */
  async send(call: ApiCall): Promise<unknown> {
    return (await this.sendDated(call)).body;
  }

  /** Returns the parsed answer, and what the server's own clock said; undefined where it says nothing. @throws KubernetesFailure */
  sendDated(call: ApiCall): Promise<{ readonly body: unknown; readonly dateMs: number | undefined }> {
    return this.execute(call, async (answer) => {
      const dateMs = Date.parse(answer.headers.date ?? '');
      const body = parseJson(await textOf(answer, call.maxBytes ?? MAX_ANSWER_BYTES));
      return { body, dateMs: Number.isNaN(dateMs) ? undefined : dateMs };
    });
  }

  /** Calls `onValue` for each line of a watch; resolves when the server has ended it regularly. @throws KubernetesFailure */
  watch(call: ApiCall, onValue: (value: unknown) => void): Promise<void> {
    return this.execute(call, async (answer) => {
      const lines = new JsonLines(onValue);
      for await (const chunk of answer) lines.write(chunk as Buffer);
      lines.end();
    });
  }

  private async execute<T>(call: ApiCall, read: (answer: IncomingMessage) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    const stop = () => abort.abort();
    let isTimedOut = false;
    const timeOut = (): void => {
      isTimedOut = true;
      abort.abort();
    };
    const cancel = this.time.after(call.timeoutMs, timeOut);
    call.signal?.addEventListener('abort', stop, { once: true });
    try {
      if (call.signal?.aborted) throw new KubernetesFailure('Stopped');
      const answer = await this.open(call, abort.signal, timeOut);
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return await read(answer);
      throw refusedWith(status, await refusalOf(answer), answer.headers['retry-after']);
    } catch (error: unknown) {
      if (isTimedOut) throw new KubernetesFailure('Timeout');
      throw kubernetesFailureOf(error);
    } finally {
      cancel();
      call.signal?.removeEventListener('abort', stop);
      // This also closes the socket of an answer that was not read to its end.
      abort.abort();
    }
  }

  private async open(call: ApiCall, signal: AbortSignal, timeOut: () => void): Promise<IncomingMessage> {
    const url = new URL(`${this.connection.server}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, value);
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
        const cancel = this.time.after(CONNECT_TIMEOUT_MS, timeOut);
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

/**
 * A failed call to the API server, without its message, headers and the library's error object: these may contain tokens
 * and objects.
 */
export class KubernetesFailure extends Error {
  constructor(
    /** A word of Kubernetes (`Expired`), of the system (`ECONNREFUSED`) or of ours (`Timeout`). */
    readonly reason: string,
    /** Undefined where there was no answer. */
    readonly status?: number,
    readonly retryAfterMs?: number,
    /** The path of the field that the server refused; never its content. */
    readonly field?: string,
  ) {
    super(status === undefined ? reason : `${status} ${reason}`);
    this.name = 'KubernetesFailure';
  }

  /** True where our version, or the page that we ask for, is too old: only a new list helps. */
  get gone(): boolean {
    return this.status === 410;
  }
}

/** The cluster cannot be found, or a kubeconfig is wrong. The message is one sentence that holds no content of a file but names. */
export class KubeConfigUnusable extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = 'KubeConfigUnusable';
  }
}

const WORD = /^[A-Za-z0-9_]{1,64}$/;
const FIELD = /^[A-Za-z0-9_.[\]]{1,128}$/;
const MAX_RETRY_AFTER_S = 60;

/** @param answer a parsed `Status` object, or something else */
function refusedWith(status: number, answer: unknown, retryAfter?: string): KubernetesFailure {
  const reason = ownField(answer, 'reason');
  const word = typeof reason === 'string' && WORD.test(reason) ? reason : 'Refused';
  const retryAfterMs = /^\d{1,4}$/.test(retryAfter ?? '')
    ? Math.min(Number(retryAfter), MAX_RETRY_AFTER_S) * 1000
    : undefined;
  return new KubernetesFailure(word, status, retryAfterMs, status === 422 ? refusedField(answer) : undefined);
}

/** Returns the first field that a 422 names. */
function refusedField(answer: unknown): string | undefined {
  const [first] = itemsOf(ownField(ownField(answer, 'details'), 'causes'));
  const field = ownField(first, 'field');
  return typeof field === 'string' && FIELD.test(field) ? field : undefined;
}

/** Turns anything that was thrown into a KubernetesFailure, with no more of it than the code of a system error. */
export function kubernetesFailureOf(error: unknown): KubernetesFailure {
  if (error instanceof KubernetesFailure) return error;
  return new KubernetesFailure(errorCodeOf(error) ?? 'Failed');
}

/** etcd stores objects of at most 1.5 MiB. */
const MAX_LINE_LENGTH = 8 * 1024 * 1024;

/** Splits a stream of bytes into JSON values, one for each line. A line that is not JSON is a failure, never skipped. */
class JsonLines {
  private readonly decoder = new StringDecoder('utf8');
  private rest = '';

  constructor(private readonly onValue: (value: unknown) => void) {}

  /** @throws KubernetesFailure */
  write(bytes: Buffer): void {
    const text = this.rest + this.decoder.write(bytes);
    // A line is taken apart once it is whole: with each of its chunks, that would take the square of its length.
    const lines = bytes.includes('\n') ? text.split('\n') : [text];
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
