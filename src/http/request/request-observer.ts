import type { Response, RequestHandler, NextFunction, Request } from 'express';
import { STATUS_OF, type Reason } from '../../errors/domain-error';
import type { SecretOperation } from '../../authz/grant';
import { operationOf, pathOf, type ProviderRequest, isProbe, workspaceOf } from './provider-request';
import type { IncomingHttpHeaders } from 'node:http';
import type { Log } from '../../logging/log';

/** What a request asks for, as the log, the metrics and the traces name it. */
type RequestedOperation = SecretOperation | 'access';

/** How a request ended; the log, the metrics and the traces tell the same. */
interface RequestOutcome {
  /** The documented HTTP status, whatever style of answer the caller reads. */
  readonly code: number;
  /** Of a failure. */
  readonly reason: Reason | undefined;
}

const ACCESS_PATH = '/permission/v1alpha1/access';

/** Undefined for other routes than the five operations and the one for access tokens. */
function requestedOperationOf(request: ProviderRequest): RequestedOperation | undefined {
  const path = pathOf(request);
  return path === ACCESS_PATH ? 'access' : operationOf(path);
}

/** Of a request that has ended. Where the client went away, what it asked for may have been done all the same. */
function outcomeOf({ failure, cleanup }: ProviderRequest, response: Response): RequestOutcome {
  const reason = failure ?? (cleanup.isAnswered ? undefined : 'CLIENT_GONE');
  return { code: reason === undefined ? response.statusCode : STATUS_OF[reason], reason };
}

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

/**
 * One JSON line a request: who, from where, what, how it ended, how long it took.
 * The fields are listed here and nothing else is written: no header, body, URL or foreign error object.
 */
export class RequestLog {
  constructor(private readonly log: Log) {}

  readonly middleware = (request: Request, response: Response, next: NextFunction): void => {
    if (!isProbe(request)) this.awaitEnd(request as ProviderRequest, response);
    next();
  };

  /** The answer was sent, or the client went away before. */
  private awaitEnd(request: ProviderRequest, response: Response): void {
    const beganMs = performance.now();
    // A socket forgets it when it is closed.
    const { remoteAddress: peer } = request.socket;
    request.cleanup.add(() => {
      const durationMs = Math.round(performance.now() - beganMs);
      const fields = { ...fieldsOf(request, response), peer, durationMs };
      this.log[fields.code >= 500 ? 'error' : 'info'](fields, 'request_completed');
    });
  }
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
