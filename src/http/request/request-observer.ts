import type { IncomingHttpHeaders } from 'node:http';
import type { Response, RequestHandler, NextFunction, Request } from 'express';
import { STATUS_OF, type Reason } from '../../errors/domain-error';
import type { SecretOperation } from '../../authz/grant';
import { operationOf, pathOf, type ProviderRequest, isProbe, workspaceOf } from './provider-request';
import type { Log } from '../../logging/log';

/** Observes every request but the probes. */
export interface RequestObserver {
  requestArrives(headers: IncomingHttpHeaders): ObservedRequest;
}

export interface ObservedRequest {
  /** Calls `proceed`, within which the whole request is handled. */
  run(proceed: () => void): void;
  ended(how: EndedRequest): void;
}

/** A request that has ended. Each field but the duration has few different values. */
export interface EndedRequest extends RequestOutcome {
  readonly op: RequestedOperation | 'other';
  readonly durationMs: number;
}

/** How a request ended, the same in the log, the metrics and the traces. */
interface RequestOutcome {
  /** The documented HTTP status, whatever the style of the answer. */
  readonly code: number;
  /** Undefined for a success. */
  readonly reason: Reason | undefined;
}

/** The operation of a request, as the log, the metrics and the traces name it. */
type RequestedOperation = SecretOperation | 'access';

/** Returns middleware that reports requests to an observer. */
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

/**
 * Logs one line for each request: who called, from where, what for, how it ended and how long it took.
 * The fields are listed here and nothing else is written: no header, body, URL or foreign error object.
 */
export class RequestLog {
  constructor(private readonly log: Log) {}

  readonly middleware = (request: Request, response: Response, next: NextFunction): void => {
    if (!isProbe(request)) this.awaitEnd(request as ProviderRequest, response);
    next();
  };

  /** Logs the request when its answer was sent or its client has gone. */
  private awaitEnd(request: ProviderRequest, response: Response): void {
    const beganMs = performance.now();
    // A closed socket no longer has its address.
    const { remoteAddress: peer } = request.socket;
    request.cleanup.add(() => {
      const durationMs = Math.round(performance.now() - beganMs);
      const fields = { ...fieldsOf(request, response), peer, durationMs };
      this.log[fields.code >= 500 ? 'error' : 'info'](fields, 'request_completed');
    });
  }
}

const ACCESS_PATH = '/permission/v1alpha1/access';

/** Returns the operation of a request; undefined for routes other than the five operations and that for access tokens. */
function requestedOperationOf(request: ProviderRequest): RequestedOperation | undefined {
  const path = pathOf(request);
  return path === ACCESS_PATH ? 'access' : operationOf(path);
}

/** Returns the outcome of a request that has ended. Where the client went away, the operation may still have been done. */
function outcomeOf({ failure, cleanup }: ProviderRequest, response: Response): RequestOutcome {
  const reason = failure ?? (cleanup.isAnswered ? undefined : 'CLIENT_GONE');
  return { code: reason === undefined ? response.statusCode : STATUS_OF[reason], reason };
}

function fieldsOf(request: ProviderRequest, response: Response) {
  const { access, caller, query, user } = request;
  return {
    requestId: request.id,
    method: request.method,
    op: requestedOperationOf(request),
    app: caller?.app ?? access?.app,
    user: caller?.user ?? user ?? access?.user,
    claimedApp: access?.claimedApp,
    claimedUser: access?.claimedUser,
    workspace: workspaceOf(query),
    ...outcomeOf(request, response),
    cause: access?.cause,
    skewS: access?.skewS,
    // False where the client went away before the answer did.
    completed: request.cleanup.isAnswered,
  };
}
