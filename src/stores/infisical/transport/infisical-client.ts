import type { Readable } from 'node:stream';
import axios, { AxiosHeaders, type AxiosRequestConfig, type AxiosResponse } from 'axios';
import { type TransportRoute, baseOf, transportRoute, type RouteOptions } from './transport-route';
import { type MonotonicTime, SystemMonotonicTime } from '../../../time/clock';
import { CallTime, AnswerBodies, AnswerTooLarge } from './answer-body';
import type { CallLabel } from '../versions/calls';
import type { FailureReason } from '../versions/failure-reason';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import { outcomeOf, type InfisicalObserver } from '../infisical-observer';
import { rateReportOf, retryAfterOf, type RateReport } from './rate-limit-window';
import { NoPermitInTime, type UpstreamRateLimits, WriteSlots } from './upstream-rate-limits';
import { isUnsent, reasonOfTransportFailure } from './transport-failure';

interface HttpCall {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
  readonly signal: AbortSignal;
}

/** Any answer with its body yet to be read. @throws what axios throws, secrets and all */
type SendCall = (call: HttpCall) => Promise<AxiosResponse<Readable>>;

const HEADERS = {
  accept: 'application/json',
  'accept-encoding': 'identity',
  'user-agent': 'olares-secret-provider',
};

/**
 * Axios' own way over node:http, without what it does before. Our calls have no interceptor and the same settings each
 * time, and to merge them anew took a fifth of what a cold read costs beside Infisical's own time.
 */
function httpCalls(baseURL: string, route: TransportRoute, maxBodyLength: number): SendCall {
  const overHttp = axios.getAdapter('http');
  const settings = axios.mergeConfig(axios.defaults as AxiosRequestConfig, {
    baseURL,
    ...route,
    maxRedirects: 0,
    maxBodyLength,
    responseType: 'stream',
    decompress: false,
    validateStatus: () => true,
  });
  return async ({ method, target, headers, body, signal }) => {
    const all = new AxiosHeaders({ ...HEADERS, ...headers });
    const answer = await overHttp({ ...settings, method, url: target, headers: all, data: body, signal });
    return answer as AxiosResponse<Readable>;
  };
}

/** The servers' own limit; a larger body is refused there with the connection cut. */
export const MAX_REQUEST_BYTES = 1_048_576;

interface ClientOptions extends RouteOptions {
  readonly url: string;
  readonly maxAnswerBytes: number;
  readonly observer?: InfisicalObserver;
}

export interface TransportRequest {
  /** Only a label, for the failure. */
  readonly call: CallLabel;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** With `{x}` in place of names and ids: what errors and logs may show. */
  readonly pathTemplate: string;
  /** Path and query, encoded. */
  readonly target: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly bearer?: string;
  /** An entity tag: an answer that still bears it is 304, without a body. */
  readonly ifNoneMatch?: string;
  /** For the whole call, connection and body included. */
  readonly timeoutMs: number;
  /** For its turn and itself, where that is more than `timeoutMs`. */
  readonly maxWaitMs?: number;
  /** What must be left of that when it is sent; else it is refused unsent. */
  readonly shortestMs?: number;
  /** Why an answer is a failure, for who observes; without it only what no server should answer is one. */
  readonly judge?: (answer: TransportAnswer) => FailureReason | undefined;
}

/** Any answer of the server, refusals included; `body` is undefined where it was not JSON. */
export interface TransportAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly etag?: string;
  readonly retryAfterMs?: number;
}

/** The only door to the network, and the only place where a foreign error is seen. Opens no connection by itself. */
export class InfisicalClient {
  readonly #call: SendCall;
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
    this.#call = httpCalls(baseURL, this.#route, MAX_REQUEST_BYTES);
  }

  /** @throws InfisicalCallFailed where no whole answer came */
  async send(request: TransportRequest): Promise<TransportAnswer> {
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    if (body !== undefined && body.length > MAX_REQUEST_BYTES) throw failure(request, 'tooLarge');
    const route = `${request.method} ${request.pathTemplate}`;
    const maxWaitMs = await this.#turn(route, request);
    let report: RateReport | undefined;
    const carryOut = (leftMs: number) => this.#carryOut(request, body, leftMs, (told) => (report = told));
    try {
      if (!isWrite(request)) return await carryOut(maxWaitMs);
      const times = { maxWaitMs, shortestMs: request.shortestMs ?? 0 };
      return await this.#writes.run(times, carryOut, () => failure(request, 'outOfTime'));
    } finally {
      this.limits.settle(route, report);
    }
  }

  async #carryOut(
    request: TransportRequest,
    body: Buffer | undefined,
    leftMs: number,
    tell: (report: RateReport | undefined) => void,
  ): Promise<TransportAnswer> {
    const underWay = this.#observer?.callBegins(request);
    const time = new CallTime(Math.min(request.timeoutMs, leftMs), leftMs, this.time);
    try {
      const response = await this.#call({
        method: request.method,
        target: request.target,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(request.ifNoneMatch !== undefined && { 'if-none-match': request.ifNoneMatch }),
          ...(request.bearer !== undefined && { authorization: `Bearer ${request.bearer}` }),
          ...underWay?.headers,
        },
        body,
        signal: time.signal,
      });
      // Only a proxy answers so, and it kept the request to itself.
      if (response.status === 407) throw failure(request, 'proxyRefused');
      const { maxAnswerBytes } = this.options;
      const answer: TransportAnswer = {
        status: response.status,
        body: await this.#bodies.take(response, maxAnswerBytes, time),
        ...(typeof response.headers['etag'] === 'string' && { etag: response.headers['etag'] }),
        ...(response.status === 429 && waitIn(response.headers)),
      };
      tell(rateReportOf(response.headers, answer));
      underWay?.ended(outcomeOf((request.judge ?? serverFailureOf)(answer)), answer.status);
      return answer;
    } catch (error: unknown) {
      const failed =
        error instanceof InfisicalCallFailed
          ? error
          : failure(request, time.signal.aborted ? reasonOfLate(request, error) : reasonOf(error));
      underWay?.ended(outcomeOf(failed.reason));
      throw failed;
    } finally {
      time.end();
    }
  }

  /** How much of its time is left once its turn has come. */
  async #turn(route: string, request: TransportRequest): Promise<number> {
    const maxWaitMs = Math.max(request.timeoutMs, request.maxWaitMs ?? 0);
    try {
      const waitedMs = await this.limits.turn(route, maxWaitMs - (request.shortestMs ?? 0));
      if (waitedMs > 0) this.#observer?.waitedForPermit(waitedMs);
      return Math.max(1, maxWaitMs - waitedMs);
    } catch (error: unknown) {
      if (!(error instanceof NoPermitInTime)) throw error;
      // Without a wait to name, nothing answered that could have told how long.
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

/** What the dialect probe provokes is refused by design. */
function serverFailureOf({ status }: TransportAnswer): FailureReason | undefined {
  if (status === 429) return 'rateLimited';
  return status >= 500 ? 'serverFailure' : undefined;
}

function waitIn(headers: Readonly<Record<string, unknown>>): Pick<TransportAnswer, 'retryAfterMs'> {
  const retryAfterMs = retryAfterOf(headers);
  return retryAfterMs === undefined ? {} : { retryAfterMs };
}

/** A write whose connection never stood was not sent: nothing about it is in doubt. */
function reasonOfLate(request: TransportRequest, error: unknown): FailureReason {
  return isWrite(request) && isUnsent(error) ? 'outOfTime' : 'timedOut';
}

function reasonOf(error: unknown): FailureReason {
  return error instanceof AnswerTooLarge ? 'answerTooLarge' : reasonOfTransportFailure(error);
}
