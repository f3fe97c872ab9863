import type { IncomingHttpHeaders } from 'node:http';
import type { RequestHandler } from 'express';
import { STATUS_OF, type Reason } from '../errors/domain-error';
import type { SecretOperation } from '../grants/grant';
import { isProbe, operationOf, pathOf, type ProviderRequest } from './provider-request';

/** How a request ended. There are few different values of each field but the duration. */
export interface EndedRequest {
  readonly op: SecretOperation | 'other';
  /** HTTP status as documented, whatever style of answer the caller reads. */
  readonly code: number;
  readonly reason: Reason | undefined;
  readonly durationMs: number;
}

export interface ObservedRequest {
  /** Everything that is done for the request is done within. */
  run(proceed: () => void): void;
  ended(how: EndedRequest): void;
}

/** Whoever wants to know of each request but the probes. */
export interface RequestObserver {
  requestArrives(headers: IncomingHttpHeaders): ObservedRequest;
}

/** As proxies name it: the caller went away before there was an answer. */
const CLIENT_GONE = 499;

export function observeRequests(observer: RequestObserver): RequestHandler {
  return (request, response, next) => {
    if (isProbe(request)) {
      next();
      return;
    }
    const beganMs = performance.now();
    const observed = observer.requestArrives(request.headers);
    response.once('close', () => {
      const { failure: reason } = request as ProviderRequest;
      const answered = reason === undefined ? response.statusCode : STATUS_OF[reason];
      observed.ended({
        op: operationOf(pathOf(request)) ?? 'other',
        code: response.writableFinished ? answered : CLIENT_GONE,
        reason,
        durationMs: performance.now() - beganMs,
      });
    });
    observed.run(next);
  };
}
