import type { Readable } from 'node:stream';
import axios, { AxiosHeaders, type AxiosRequestConfig, type AxiosResponse } from 'axios';
import { type MonotonicTime, SystemMonotonicTime } from '../../../time/clock';
import {
  type CallUnderWay,
  outcomeOf,
  type InfisicalObserver,
  type CallLabel,
  type FailureReason,
} from '../versions/calls';
import { type CallFailure, InfisicalCallFailed } from '../versions/infisical-call-failed';
import { AnswerBodies, AnswerTooLarge } from './answer-body';
import { CallTime, type WriteSlot, WriteSlots } from './call-time';
import { type RateReport, NoPermitInTime, type UpstreamRateLimits } from './upstream-rate-limits';
import { isUnsent, reasonOfTransportFailure } from './transport-failure';
import { baseOf, type RouteOptions, transportRoute, type TransportRoute } from './transport-route';

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
  /** Of a call `setup`: what the server's own clock said, in milliseconds since the epoch, to the second. */
  readonly dateMs?: number;
}

/** Sends requests to Infisical. No other class uses the network or sees a foreign error. Opens no connection before the first request. */
export class InfisicalClient {
  /** axios' adapter for node:http, used directly since our calls have no interceptor. Its errors hold secrets. */
  readonly #sendOverHttp = axios.getAdapter('http');
  readonly #settings: AxiosRequestConfig;
  readonly #route: TransportRoute;
  readonly #writes = new WriteSlots();
  readonly #bodies = new AnswerBodies();

  constructor(
    private readonly options: ClientOptions,
    private readonly limits: UpstreamRateLimits,
    private readonly time: MonotonicTime = new SystemMonotonicTime(),
  ) {
    const baseURL = baseOf(options.url);
    this.#route = transportRoute(baseURL, options);
    // Merging the settings for each call took a fifth of what a cold read costs beside Infisical's own time.
    this.#settings = axios.mergeConfig(axios.defaults as AxiosRequestConfig, {
      ...this.#route,
      baseURL,
      maxRedirects: 0,
      maxBodyLength: MAX_REQUEST_BYTES,
      responseType: 'stream',
      decompress: false,
      validateStatus: () => true,
    });
  }

  /** @throws InfisicalCallFailed where no whole answer was received, or the reason of the signal */
  async send(request: TransportRequest): Promise<TransportAnswer> {
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    if (body !== undefined && body.length > MAX_REQUEST_BYTES) throw failure(request, 'tooLarge');
    const { method, target: url, signal } = request;
    const route = `${method} ${request.pathTemplate}`;
    const maxWaitMs = await this.#permit(route, request);
    let slot: WriteSlot | undefined;
    let report: RateReport | undefined;
    try {
      if (isWrite(request))
        slot = await this.#writes.acquire({ ...request, maxWaitMs }, () => failure(request, 'outOfTime'));
      signal?.throwIfAborted();
      const observed = this.options.observer?.callBegins(request);
      const leftMs = slot?.leftMs ?? maxWaitMs;
      const caller = isWrite(request) ? undefined : signal;
      const time = new CallTime(Math.min(request.timeoutMs, leftMs), leftMs, this.time, caller);
      try {
        const headers = headersOf(request, body, observed);
        const sent = { ...this.#settings, method, url, headers, data: body, signal: time.signal };
        const response = (await this.#sendOverHttp(sent)) as AxiosResponse<Readable>;
        // Only a proxy answers 407, and it did not forward the request. A connection whose answer is not read is lost to others.
        if (response.status === 407) {
          response.data.destroy();
          throw failure(request, 'proxyRefused');
        }
        const read = await this.#bodies.read(response, this.options.maxAnswerBytes, time);
        const answer = answerOf(request, response, read);
        observed?.ended(outcomeOf((request.reasonOf ?? serverFailureOf)(answer)), answer.status);
        report = rateReportOf(response.headers, answer);
        return answer;
      } catch (error: unknown) {
        if (caller?.aborted === true) observed?.ended('cancelled');
        caller?.throwIfAborted();
        const failed = failureOf(request, error, time);
        observed?.ended(outcomeOf(failed.reason));
        throw failed;
      } finally {
        time.end();
      }
    } finally {
      slot?.release();
      this.limits.settle(route, report);
    }
  }

  /** Waits for a permit under the rate limits. Returns how much of the request's time is left then. */
  async #permit(route: string, request: TransportRequest): Promise<number> {
    const maxWaitMs = Math.max(request.timeoutMs, request.maxWaitMs ?? 0);
    try {
      const waitedMs = await this.limits.acquire(route, maxWaitMs - (request.minCallMs ?? 0), request.signal);
      if (waitedMs > 0) this.options.observer?.waitedForPermit(waitedMs);
      return Math.max(1, maxWaitMs - waitedMs);
    } catch (error: unknown) {
      if (!(error instanceof NoPermitInTime)) throw error;
      // Without a time to wait, no answer could have told how long that is.
      if (error.retryAfterMs === 0) throw failure(request, 'outOfTime');
      this.options.observer?.permitRefused();
      throw failure(request, 'rateLimited', { retryAfterMs: error.retryAfterMs });
    }
  }

  close(): void {
    this.limits.close();
    this.#route.httpAgent.destroy();
    this.#route.httpsAgent.destroy();
  }
}

const HEADERS = {
  accept: 'application/json',
  'accept-encoding': 'identity',
  'user-agent': 'olares-secret-provider',
};

function headersOf(
  { ifNoneMatch, bearer }: TransportRequest,
  body: Buffer | undefined,
  observed: CallUnderWay | undefined,
): InstanceType<typeof AxiosHeaders> {
  return new AxiosHeaders({
    ...HEADERS,
    ...(body !== undefined && { 'content-type': 'application/json' }),
    ...(ifNoneMatch !== undefined && { 'if-none-match': ifNoneMatch }),
    ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
    ...observed?.headers,
  });
}

function answerOf(
  { call }: TransportRequest,
  { status, headers }: AxiosResponse,
  body: unknown,
): TransportAnswer {
  const retryAfterMs = status === 429 ? retryAfterOf(headers) : undefined;
  const dateMs = call === 'setup' ? Date.parse(String(headers['date'])) : 0;
  return {
    status,
    body,
    ...(dateMs > 0 && { dateMs }),
    ...(typeof headers['etag'] === 'string' && { etag: headers['etag'] }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function failureOf(request: TransportRequest, error: unknown, time: CallTime): InfisicalCallFailed {
  if (error instanceof InfisicalCallFailed) return error;
  // A write that timed out before its connection was established was not sent, so its outcome is known.
  const reasonIfLate = isWrite(request) && isUnsent(error) ? 'outOfTime' : 'timedOut';
  if (time.signal.aborted) return failure(request, reasonIfLate, { hadMs: time.usedMs });
  if (error instanceof AnswerTooLarge) return failure(request, 'answerTooLarge');
  return failure(request, reasonOfTransportFailure(error));
}

function failure(
  { call, method, pathTemplate }: TransportRequest,
  reason: FailureReason,
  more?: Pick<CallFailure, 'retryAfterMs' | 'hadMs'>,
): InfisicalCallFailed {
  return new InfisicalCallFailed({ ...more, call, method, pathTemplate, reason });
}

const isWrite = ({ method, call }: TransportRequest) =>
  method !== 'GET' && call !== 'login' && call !== 'probe';

/** Other refusals are not failures here: the version probe provokes them on purpose. */
function serverFailureOf({ status }: TransportAnswer): FailureReason | undefined {
  if (status === 429) return 'rateLimited';
  return status >= 500 ? 'serverFailure' : undefined;
}

/** The servers' windows last a minute: a longer wait is a mistake, or not Infisical's, and is cut to this. */
const MAX_WAIT_S = 300;

/** Returns the time to wait, which the servers give in whole seconds. Where a proxy drops the header, the reset of the window says the same. */
export function retryAfterOf(headers: AxiosResponse['headers']): number | undefined {
  return secondsToMs(headers['retry-after'] ?? headers['x-ratelimit-reset']);
}

/** Returns undefined for an answer that reports nothing, as one that was refused before the limit was checked. */
export function rateReportOf(
  headers: AxiosResponse['headers'],
  answer: { readonly status: number; readonly retryAfterMs?: number },
): RateReport | undefined {
  const limit = wholeNumber(headers['x-ratelimit-limit']);
  const remaining = wholeNumber(headers['x-ratelimit-remaining']);
  const resetMs = secondsToMs(headers['x-ratelimit-reset']);
  const refused = answer.status === 429 && { refused: { forMs: answer.retryAfterMs } };
  if (limit !== undefined && remaining !== undefined && resetMs !== undefined)
    return { limit, remaining, resetMs, ...refused };
  if (refused !== false) return refused;
  return answer.status < 300 ? {} : undefined;
}

function secondsToMs(header: unknown): number | undefined {
  const seconds = wholeNumber(header);
  return seconds === undefined ? undefined : Math.min(seconds, MAX_WAIT_S) * 1000;
}

function wholeNumber(header: unknown): number | undefined {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) : undefined;
}
