import type { NextFunction, Request, Response } from 'express';
import type { Log } from '../logging/log';
import { isProbe, workspaceOf, type ProviderRequest } from './provider-request';
import { outcomeOf, requestedOperationOf } from './request-outcome';

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
      this.log[fields.code >= 500 ? 'error' : 'info'](fields, 'request completed');
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
