import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import axios, { isAxiosError, type AxiosInstance, type AxiosResponse } from 'axios';
import type { CallLabel } from './dialect';
import type { FailureReason } from './failure-reason';
import { InfisicalCallFailed } from './infisical-call-failed';

/** The servers' own limit; a larger body is refused there with the connection cut. */
export const MAX_REQUEST_BYTES = 1_048_576;

export interface ClientOptions {
  readonly url: string;
  readonly maxConnections: number;
  readonly maxAnswerBytes: number;
}

export interface WireRequest {
  /** Only a label, for the failure. */
  readonly call: CallLabel;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** With `{x}` in place of names and ids: what errors and logs may show. */
  readonly pathTemplate: string;
  /** Path and query, encoded. */
  readonly target: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly bearer?: string;
  /** For the whole call, connection and body included. */
  readonly timeoutMs: number;
}

/** Any answer of the server, refusals included; `body` is undefined where it was not JSON. */
export interface WireAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly retryAfterMs?: number;
}

/** The only door to the network, and the only place where a foreign error is seen. Opens no connection by itself. */
export class InfisicalClient {
  readonly #axios: AxiosInstance;
  readonly #agents: readonly [HttpAgent, HttpsAgent];

  constructor(options: ClientOptions) {
    // The idle timeout lets Node drop a kept connection before the server's announced end, not in the middle of a write.
    const pool = { keepAlive: true, maxSockets: options.maxConnections, timeout: 60_000 };
    this.#agents = [new HttpAgent(pool), new HttpsAgent(pool)];
    this.#axios = axios.create({
      baseURL: baseOf(options.url),
      httpAgent: this.#agents[0],
      httpsAgent: this.#agents[1],
      maxRedirects: 0,
      maxContentLength: options.maxAnswerBytes,
      maxBodyLength: MAX_REQUEST_BYTES,
      responseType: 'text',
      decompress: false,
      validateStatus: () => true,
      transformRequest: [(body: unknown) => body],
      transformResponse: [(body: unknown) => body],
      headers: {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'olares-secret-provider',
      },
    });
  }

  /** @throws InfisicalCallFailed where no whole answer came */
  async send(request: WireRequest): Promise<WireAnswer> {
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    if (body !== undefined && body.length > MAX_REQUEST_BYTES) throw failure(request, 'tooLarge');
    const cut = new AbortController();
    const timer = setTimeout(() => cut.abort(), request.timeoutMs);
    try {
      return toAnswer(
        await this.#axios.request<unknown>({
          method: request.method,
          url: request.target,
          headers: {
            ...(body !== undefined && { 'content-type': 'application/json' }),
            ...(request.bearer !== undefined && { authorization: `Bearer ${request.bearer}` }),
          },
          data: body,
          signal: cut.signal,
        }),
      );
    } catch (error: unknown) {
      throw failure(request, cut.signal.aborted ? 'timedOut' : reasonOf(error));
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    for (const agent of this.#agents) agent.destroy();
  }
}

/** Keeps a path prefix, as behind a shared host; refuses what would send the credentials elsewhere. */
function baseOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const plain =
    parsed !== undefined && parsed.username === '' && parsed.password === '' && parsed.search === '';
  if (!plain || !/^https?:$/.test(parsed.protocol)) {
    throw new Error('The address of Infisical must be an http or https URL without credentials or query.');
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, '');
}

function failure(request: WireRequest, reason: FailureReason): InfisicalCallFailed {
  const { call, method, pathTemplate } = request;
  return new InfisicalCallFailed({ call, method, pathTemplate, reason });
}

function toAnswer(response: AxiosResponse<unknown>): WireAnswer {
  const retryAfterMs = retryAfterOf(response);
  return {
    status: response.status,
    body: parseJson(response.data),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** The servers say it in whole seconds; the reset of the window says the same where a proxy drops the header. */
function retryAfterOf(response: AxiosResponse<unknown>): number | undefined {
  if (response.status !== 429) return undefined;
  const seconds = Number(response.headers['retry-after'] ?? response.headers['x-ratelimit-reset'] ?? NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/** The text of a SyntaxError can quote the body, so it ends here. */
function parseJson(text: unknown): unknown {
  if (typeof text !== 'string') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const NEVER_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);
const NOT_TRUSTED = /CERT|SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|EPROTO/;

function reasonOf(error: unknown): FailureReason {
  if (!isAxiosError(error)) return 'connectionLost';
  const code = error.code ?? '';
  if (NEVER_CONNECTED.has(code)) return 'unreachable';
  if (NOT_TRUSTED.test(code)) return 'untrusted';
  if (code === 'ETIMEDOUT') return 'timedOut';
  return error.message.startsWith('maxContentLength') ? 'answerTooLarge' : 'connectionLost';
}
