import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import axios, { isAxiosError, type AxiosInstance, type AxiosResponse } from 'axios';
import type { CallLabel } from './dialect';
import type { FailureReason } from './failure-reason';
import { InfisicalCallFailed } from './infisical-call-failed';
import { rateReportOf, retryAfterOf } from './rate-report';
import type { RateReport } from './rate-limit-window';
import { NoTurnInTime, type RateLimits } from './rate-limits';

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
  /** For its turn and itself, where that is more than `timeoutMs`. */
  readonly patienceMs?: number;
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

  constructor(
    options: ClientOptions,
    private readonly limits: RateLimits,
  ) {
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
    const route = `${request.method} ${request.pathTemplate}`;
    const timeoutMs = await this.#turn(route, request);
    let report: RateReport | undefined;
    const cut = new AbortController();
    const timer = setTimeout(() => cut.abort(), timeoutMs);
    try {
      const response = await this.#axios.request<unknown>({
        method: request.method,
        url: request.target,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(request.bearer !== undefined && { authorization: `Bearer ${request.bearer}` }),
        },
        data: body,
        signal: cut.signal,
      });
      const answer = toAnswer(response);
      report = rateReportOf(response.headers, answer);
      return answer;
    } catch (error: unknown) {
      throw failure(request, cut.signal.aborted ? 'timedOut' : reasonOf(error));
    } finally {
      clearTimeout(timer);
      this.limits.settle(route, report);
    }
  }

  /** How long the call may take once its turn has come. */
  async #turn(route: string, request: WireRequest): Promise<number> {
    const patienceMs = Math.max(request.timeoutMs, request.patienceMs ?? 0);
    try {
      const waitedMs = await this.limits.turn(route, patienceMs);
      return Math.min(request.timeoutMs, Math.max(1, patienceMs - waitedMs));
    } catch (error: unknown) {
      if (!(error instanceof NoTurnInTime)) throw error;
      // Without a wait to name, nothing answered that could have told how long.
      if (error.retryAfterMs === 0) throw failure(request, 'outOfTime');
      throw failure(request, 'rateLimited', error.retryAfterMs);
    }
  }

  close(): void {
    this.limits.close();
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

function failure(request: WireRequest, reason: FailureReason, retryAfterMs?: number): InfisicalCallFailed {
  const { call, method, pathTemplate } = request;
  return new InfisicalCallFailed({
    call,
    method,
    pathTemplate,
    reason,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

function toAnswer(response: AxiosResponse<unknown>): WireAnswer {
  const retryAfterMs = response.status === 429 ? retryAfterOf(response.headers) : undefined;
  return {
    status: response.status,
    body: parseJson(response.data),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
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
