import type { IncomingHttpHeaders } from 'node:http';
import type { RequestHandler } from 'express';
import { isProbe, type ProviderRequest } from './provider-request';
import {
  outcomeOf,
  requestedOperationOf,
  type RequestedOperation,
  type RequestOutcome,
} from './request-outcome';

/** How a request ended. There are few different values of each field but the duration. */
export interface EndedRequest extends RequestOutcome {
  readonly op: RequestedOperation | 'other';
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

export function observeRequests(observer: RequestObserver): RequestHandler {
  return (request, response, next) => {
    if (isProbe(request)) {
      next();
      return;
    }
    const beganMs = performance.now();
    const observed = observer.requestArrives(request.headers);
    (request as ProviderRequest).cleanup.add(() => {
      observed.ended({
        ...outcomeOf(request as ProviderRequest, response),
        op: requestedOperationOf(request as ProviderRequest) ?? 'other',
        durationMs: performance.now() - beganMs,
      });
    });
    observed.run(next);
  };
}
