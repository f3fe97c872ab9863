import type { NextFunction, Request, Response } from 'express';
import type { Log } from '../logging/log';
import { isProbe, operationOf, pathOf, workspaceOf, type ProviderRequest } from './provider-request';

/**
 * One JSON line a request: who, what, where, how it ended, how long it took.
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
    const ended = (): void => {
      response.off('finish', ended).off('close', ended);
      const level = response.statusCode >= 500 ? 'error' : 'info';
      const durationMs = Math.round(performance.now() - beganMs);
      this.log[level](fieldsOf(request, response, durationMs), 'request completed');
    };
    response.on('finish', ended).on('close', ended);
  }
}

function fieldsOf(request: ProviderRequest, response: Response, durationMs: number): object {
  const { caller, query, user } = request;
  return {
    requestId: request.id,
    method: request.method,
    op: operationOf(pathOf(request)),
    app: caller?.app,
    user: caller?.user ?? user,
    workspace: workspaceOf(query),
    code: response.statusCode,
    // False where the client went away before the answer did.
    completed: response.writableFinished,
    durationMs,
  };
}
