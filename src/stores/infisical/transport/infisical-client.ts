import type { Readable } from 'node:stream';
import axios, { AxiosHeaders, type AxiosRequestConfig, type AxiosResponse } from 'axios';
import { type MonotonicTime, SystemMonotonicTime } from '../../../time/clock';
import { outcomeOf, type InfisicalObserver } from '../infisical-observer';
import type { CallLabel } from '../versions/calls';
import type { FailureReason } from '../versions/failure-reason';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import { AnswerBodies, AnswerTooLarge, CallTime } from './answer-body';
import { rateReportOf, retryAfterOf, type RateReport } from './rate-limit-window';
import { isUnsent, reasonOfTransportFailure } from './transport-failure';
import { baseOf, type RouteOptions, transportRoute, type TransportRoute } from './transport-route';
import { NoPermitInTime, type UpstreamRateLimits, WriteSlots } from './upstream-rate-limits';

/** The servers' own limit; they refuse a larger body by closing the connection. */
export const MAX_REQUEST_BYTES = 1_048_576;

interface ClientOptions extends RouteOptions {
  readonly url: string;
  readonly maxAnswerBytes: number;
  readonly observer?: InfisicalObserver | undefined;
}

export interface TransportRequest {
  /** Names the call in failures and metrics. */
  readonly call: CallLabel;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** The path with `{x}` in place of names and ids, which errors and logs may show. */
  readonly pathTemplate: string;
  /** Path and query, encoded. */
  readonly target: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly bearer?: string;
  /** An entity tag: where it still holds, the answer is 304 without a body. */
  readonly ifNoneMatch?: string;
  /** For the whole call, connection and body included. */
  readonly timeoutMs: number;
  /** For the wait for its permit and the call itself, where that is more than `timeoutMs`. */
  readonly maxWaitMs?: number;
  /** How much of `maxWaitMs` must be left when it is sent; otherwise it is refused unsent. */
  readonly minCallMs?: number;
  /** Ends the wait for its permit with the signal's reason, and a read also while it is under way. A write that was sent is finished. */
  readonly signal?: AbortSignal;
  /** Returns why an answer is a failure, for the observer. By default only a 429 and a 5xx are failures. */
  readonly reasonOf?: (answer: TransportAnswer) => FailureReason | undefined;
}

/** Any answer of the server, refusals included. `body` is undefined where it was not JSON. */
export interface TransportAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly etag?: string;
  readonly retryAfterMs?: number;
}

/** Sends requests to Infisical. No other class uses the network or sees a foreign error. Opens no connection before the first request. */
export class InfisicalClient {
  readonly #sendHttp: SendHttp;
  readonly #route: TransportRoute;
  readonly #observer: InfisicalObserver | undefined;
  readonly #writes = new WriteSlots();
  readonly #bodies = new AnswerBodies();

  constructor(
    private readonly options: ClientOptions,
    private readonly limits: UpstreamRateLimits,
    private readonly time: MonotonicTime = new SystemMonotonicTime(),
  ) {
    const baseURL = baseOf(options.url);
    this.#route = transportRoute(baseURL, options);
    this.#observer = options.observer;
    this.#sendHttp = httpSender(baseURL, this.#route);
  }

  /** @throws InfisicalCallFailed where no whole answer was received, or the reason of the signal */
  async send(request: TransportRequest): Promise<TransportAnswer> {
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    if (body !== undefined && body.length > MAX_REQUEST_BYTES) throw failure(request, 'tooLarge');
    const route = `${request.method} ${request.pathTemplate}`;
    const maxWaitMs = await this.#permit(route, request);
    let report: RateReport | undefined;
    const { minCallMs = 0, signal } = request;
    const wait = { maxWaitMs, minCallMs, ...(signal !== undefined && { signal }) };
    const send = (leftMs: number) => this.#carryOut(request, body, leftMs);
    try {
      const { answer, headers } = isWrite(request)
        ? await this.#writes.run(wait, send, () => failure(request, 'outOfTime'))
        : await this.#carryOut(request, body, maxWaitMs);
      report = rateReportOf(headers, answer);
      return answer;
    } finally {
      this.limits.settle(route, report);
    }
  }

  async #carryOut(
    request: TransportRequest,
    body: Buffer | undefined,
    leftMs: number,
  ): Promise<{ readonly answer: TransportAnswer; readonly headers: AxiosResponse['headers'] }> {
    request.signal?.throwIfAborted();
    const observed = this.#observer?.callBegins(request);
    const caller = isWrite(request) ? undefined : request.signal;
    const time = new CallTime(Math.min(request.timeoutMs, leftMs), leftMs, this.time, caller);
    try {
      const response = await this.#sendHttp({
        method: request.method,
        target: request.target,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(request.ifNoneMatch !== undefined && { 'if-none-match': request.ifNoneMatch }),
          ...(request.bearer !== undefined && { authorization: `Bearer ${request.bearer}` }),
          ...observed?.headers,
        },
        body,
        signal: time.signal,
      });
      const { status, headers } = response;
      // Only a proxy answers 407, and it did not forward the request.
      if (status === 407) throw failure(request, 'proxyRefused');
      const retryAfterMs = status === 429 ? retryAfterOf(headers) : undefined;
      const answer: TransportAnswer = {
        status,
        body: await this.#bodies.read(response, this.options.maxAnswerBytes, time),
        ...(typeof headers['etag'] === 'string' && { etag: headers['etag'] }),
        ...(retryAfterMs !== undefined && { retryAfterMs }),
      };
      observed?.ended(outcomeOf((request.reasonOf ?? serverFailureOf)(answer)), status);
      return { answer, headers };
    } catch (error: unknown) {
      if (caller?.aborted === true) {
        observed?.ended('cancelled');
        caller.throwIfAborted();
      }
      const failed =
        error instanceof InfisicalCallFailed
          ? error
          : failure(request, time.signal.aborted ? reasonOfTimeout(request, error) : reasonOf(error));
      observed?.ended(outcomeOf(failed.reason));
      throw failed;
    } finally {
      time.end();
    }
  }

  /** Waits for a permit under the rate limits. Returns how much of the request's time is left then. */
  async #permit(route: string, request: TransportRequest): Promise<number> {
    const maxWaitMs = Math.max(request.timeoutMs, request.maxWaitMs ?? 0);
    try {
      const waitedMs = await this.limits.acquire(route, maxWaitMs - (request.minCallMs ?? 0), request.signal);
      if (waitedMs > 0) this.#observer?.waitedForPermit(waitedMs);
      return Math.max(1, maxWaitMs - waitedMs);
    } catch (error: unknown) {
      if (!(error instanceof NoPermitInTime)) throw error;
      // Without a time to wait, no answer could have told how long that is.
      if (error.retryAfterMs === 0) throw failure(request, 'outOfTime');
      this.#observer?.permitRefused();
      throw failure(request, 'rateLimited', error.retryAfterMs);
    }
  }

  close(): void {
    this.limits.close();
    this.#route.httpAgent.destroy();
    this.#route.httpsAgent.destroy();
  }
}

interface HttpCall {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
  readonly signal: AbortSignal;
}

/** Resolves to any answer, with its body yet to be read. @throws an axios error, which holds secrets */
type SendHttp = (call: HttpCall) => Promise<AxiosResponse<Readable>>;

const HEADERS = {
  accept: 'application/json',
  'accept-encoding': 'identity',
  'user-agent': 'olares-secret-provider',
};

/**
 * Uses axios' adapter for node:http directly. Our calls have no interceptor and the same settings each time, and merging
 * them for each call took a fifth of what a cold read costs beside Infisical's own time.
 */
function httpSender(baseURL: string, route: TransportRoute): SendHttp {
  const sendOverHttp = axios.getAdapter('http');
  const settings = axios.mergeConfig(axios.defaults as AxiosRequestConfig, {
    baseURL,
    ...route,
    maxRedirects: 0,
    maxBodyLength: MAX_REQUEST_BYTES,
    responseType: 'stream',
    decompress: false,
    validateStatus: () => true,
  });
  return async ({ method, target, headers, body, signal }) => {
    const all = new AxiosHeaders({ ...HEADERS, ...headers });
    const answer = await sendOverHttp({ ...settings, method, url: target, headers: all, data: body, signal });
    return answer as AxiosResponse<Readable>;
  };
}

function failure(
  request: TransportRequest,
  reason: FailureReason,
  retryAfterMs?: number,
): InfisicalCallFailed {
  const { call, method, pathTemplate } = request;
  return new InfisicalCallFailed({
    call,
    method,
    pathTemplate,
    reason,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

const isWrite = ({ method, call }: TransportRequest) =>
  method !== 'GET' && call !== 'login' && call !== 'probe';

/** Other refusals are not failures here: the version probe provokes them on purpose. */
function serverFailureOf({ status }: TransportAnswer): FailureReason | undefined {
  if (status === 429) return 'rateLimited';
  return status >= 500 ? 'serverFailure' : undefined;
}

/** A write that timed out before its connection was established was not sent, so its outcome is known. */
function reasonOfTimeout(request: TransportRequest, error: unknown): FailureReason {
  return isWrite(request) && isUnsent(error) ? 'outOfTime' : 'timedOut';
}

function reasonOf(error: unknown): FailureReason {
  return error instanceof AnswerTooLarge ? 'answerTooLarge' : reasonOfTransportFailure(error);
}
