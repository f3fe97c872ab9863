import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { Response } from 'express';
import { DomainError, type Reason, traceOf } from '../../errors/domain-error';
import {
  ClientGone,
  InvalidRequest,
  RequestTooLarge,
  RouteNotFound,
  ShuttingDown,
  TooManyRequests,
} from '../../errors/request-errors';
import { SecretNotFound } from '../../errors/store-errors';
import { fieldsOf, percentDecoded } from '../../json/json';
import type { LogEvent } from '../../logging/log';
import type { ProviderRequest } from '../request/provider-request';
import { send } from '../server/json-answers';

/** The form of every answer. `code` is the HTTP status; `data` of a failure is `{reason, requestId, …}`. */
export interface Envelope<T> {
  readonly code: number;
  readonly message: string;
  readonly data: T;
}

/** The `data` of a failure: its reason, the request id, and the details of the error. */
interface FailureData {
  readonly reason: Reason;
  readonly requestId: string;
  readonly credential?: unknown;
}

export function ok<T>(data: T): Envelope<T> {
  return { code: 200, message: '', data };
}

/**
 * Sets `Age` and `Cache-Status` (RFC 9211) of an answer from the cache, and notes it for the log; `ttl` is minus the age, the longest
 * that it can have been stale.
 */
export function showStaleness(response: Response | undefined, staleForMs: number): void {
  if (response === undefined) return;
  const ageS = Math.ceil(staleForMs / 1000);
  (response.req as ProviderRequest).staleForMs = Math.round(staleForMs);
  response.setHeader('Age', String(ageS));
  response.setHeader('Cache-Status', `olares-secret-provider; hit; ttl=-${ageS}; detail=STORE_UNAVAILABLE`);
}

/** The documented answer to a successful write. */
export const DONE: Envelope<''> = ok('');

/** The setting `RESPONSE_STYLE`: the documented answers, or those of today's sidecar, which its clients test. */
type ResponseStyle = 'documented' | 'sidecar';

/**
 * Gives answers the form that their caller reads. A sidecar's is HTTP 200 always, and `code: 0` for success: its clients test
 * `data.code == 0`. Probes and the access route always have the documented form.
 */
export class AnswerForms {
  constructor(private readonly style: ResponseStyle) {}

  /** Returns the body of a success. */
  success(
    { operation, path, asSystemServer, responseStyle = this.style }: ProviderRequest['target'],
    envelope: Envelope<unknown>,
  ): object {
    const isSidecars =
      responseStyle === 'sidecar' && (operation !== undefined || /^\/(explain$|admin\/|user\/)/.test(path));
    const body = isSidecars ? { ...envelope, code: 0 } : envelope;
    return asSystemServer ? { code: 0, message: 'success', data: body } : body;
  }

  /**
   * Returns the status and the body of a failure. system-server answers HTTP 200 always, so that an app that calls
   * `OS_SYSTEM_SERVER` may call us instead; a provider's failure is a sentence that contains its status and body.
   */
  failure(
    { operation, path, asSystemServer, responseStyle = this.style }: ProviderRequest['target'],
    envelope: Envelope<FailureData>,
  ): { readonly status: number; readonly body: object } {
    // The sender of events reads the HTTP status only: a failure with 200 would lose the event for good.
    const isSidecars =
      responseStyle === 'sidecar' && (operation !== undefined || /^\/(explain$|admin\/)/.test(path));
    const status = isSidecars ? 200 : envelope.code;
    if (!asSystemServer) return { status, body: envelope };
    // system-server checks the access token itself, before it calls a provider.
    if (envelope.data.credential === 'X-Access-Token')
      return { status: 200, body: { code: 100001, message: `TokenValidationError: ${envelope.message}` } };
    if (isSidecars) return { status, body: { code: 0, message: 'success', data: envelope } };
    const message = `invoke provider err: code ${status}, ${JSON.stringify(envelope)}`;
    return { status: 200, body: { code: 1, message } };
  }
}

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
    // Where we cut the connection off, the log says why.
    request.failure = (error instanceof ClientGone ? request.cleanup.cutFor : undefined) ?? error.reason;
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
    // Set for what is refused now: a tag would tell that there is a secret, and whether it has changed.
    for (const name of ['ETag', 'Age', 'Cache-Status']) response.removeHeader(name);
    delete request.staleForMs;
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
  // Nest answers a broken percent escape with the same 400 as a broken body.
  if (percentDecoded(request.target.path) === undefined) return new RouteNotFound();
  switch (statusOf(thrown)) {
    case 404:
    case 405:
      return new RouteNotFound();
    case 413:
      // raw-body puts the limit into its error.
      return new RequestTooLarge(Number(fieldsOf(thrown)['limit'] ?? 0));
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

function statusOf(thrown: unknown): unknown {
  if (thrown instanceof HttpException) return thrown.getStatus();
  return thrown instanceof Error ? fieldsOf(thrown)['status'] : undefined;
}

function retryAfterOf(error: DomainError): number | undefined {
  if (error instanceof TooManyRequests) return error.retryAfterSeconds;
  // A write whose outcome is unknown must not be repeated blindly.
  return error.status === 503 && error.reason !== 'STORE_OUTCOME_UNKNOWN' ? 1 : undefined;
}
