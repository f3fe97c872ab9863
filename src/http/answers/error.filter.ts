import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Response } from 'express';
import { DomainError, traceOf } from '../../errors/domain-error';
import {
  InvalidRequest,
  RequestTooLarge,
  RouteNotFound,
  ShuttingDown,
  TooManyRequests,
} from '../../errors/request-errors';
import { SecretNotFound } from '../../errors/store-errors';
import type { LogEvent } from '../../logging/log';
import { AnswerForms, type Envelope, type FailureData, showStaleness } from './envelope';
import type { ProviderRequest } from '../request/provider-request';
import { send } from '../server/json-answers';

/** The only place where an error becomes an answer. The message of a foreign error is never sent or logged. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(
    private readonly forms: AnswerForms,
    private readonly log: LogEvent,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const response = http.getResponse<Response>();
    const request = http.getRequest<ProviderRequest>();
    const requestId = request.id;
    const error = toDomainError(thrown, request);
    request.failure = error.reason;
    if (error.reason === 'INTERNAL') {
      this.log('error', 'request_failed', { requestId, context: ErrorFilter.name, ...traceOf(thrown) });
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const { audit } = request;
    if (audit === undefined) this.#send(error, request, response);
    else
      void audit.ended().then(
        () => this.#send(error, request, response),
        (unavailable: unknown) => this.#send(toDomainError(unavailable, request), request, response),
      );
  }

  #send(error: DomainError, request: ProviderRequest, response: Response): void {
    request.failure = error.reason;
    const retryAfterSeconds = retryAfterOf(error);
    if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds));
    if (error instanceof SecretNotFound && error.staleForMs !== undefined)
      showStaleness(response, error.staleForMs);
    if (error instanceof ShuttingDown) response.setHeader('Connection', 'close');
    const { status, body } = this.forms.failure(request.target, failure(error, request.id));
    send(response, status, [JSON.stringify(body)]);
  }
}

/** Returns the envelope of an error. */
export function failure(error: DomainError, requestId: string): Envelope<FailureData> {
  return {
    code: error.status,
    message: error.message,
    data: { reason: error.reason, requestId, ...error.details },
  };
}

/** Maps the errors of Nest and raw-body by their status alone: their messages may quote the body. */
function toDomainError(thrown: unknown, request: ProviderRequest): DomainError {
  if (thrown instanceof DomainError) return thrown;
  if (!isDecodable(request.target.path)) return new RouteNotFound();
  switch (statusOf(thrown) ?? 500) {
    case 404:
    case 405:
      return new RouteNotFound();
    case 413:
      return new RequestTooLarge(limitOf(thrown));
    case 400:
    case 415:
      return new InvalidRequest('body', 'must be a JSON object, in UTF-8, neither compressed nor cut short');
    default:
      return new DomainError(
        'INTERNAL',
        'Something went wrong on our side; the log knows this request by its id.',
      );
  }
}

function statusOf(thrown: unknown): number | undefined {
  if (thrown instanceof HttpException) return thrown.getStatus();
  if (!(thrown instanceof Error)) return undefined;
  return 'status' in thrown && typeof thrown.status === 'number' ? thrown.status : undefined;
}

/** Returns false for a path with a broken percent escape: Nest answers it with the same 400 as a broken body. */
function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** Returns the limit of a body that was too large, which raw-body puts into its error. */
function limitOf(thrown: unknown): number {
  const { limit } = thrown as { readonly limit?: unknown };
  return typeof limit === 'number' ? limit : 0;
}

function retryAfterOf(error: DomainError): number | undefined {
  if (error instanceof TooManyRequests) return error.retryAfterSeconds;
  // A write whose outcome is unknown must not be repeated blindly.
  return error.status === 503 && error.reason !== 'STORE_OUTCOME_UNKNOWN' ? 1 : undefined;
}
