import type { Response } from 'express';
import { STATUS_OF, type Reason } from '../errors/domain-error';
import type { SecretOperation } from '../grants/grant';
import { operationOf, pathOf, type ProviderRequest } from './provider-request';

/** What a request asks for, as the log, the metrics and the traces name it. */
export type RequestedOperation = SecretOperation | 'access';

/** How a request ended; the log, the metrics and the traces tell the same. */
export interface RequestOutcome {
  /** The documented HTTP status, whatever style of answer the caller reads. */
  readonly code: number;
  /** Of a failure. */
  readonly reason: Reason | undefined;
}

const ACCESS_PATH = '/permission/v1alpha1/access';
/** As nginx has it: the client went away before there was an answer. What it asked for may have been done all the same. */
const CLIENT_GONE = 499;

/** Undefined for other routes than the five operations and the one for access tokens. */
export function requestedOperationOf(request: ProviderRequest): RequestedOperation | undefined {
  const path = pathOf(request);
  return path === ACCESS_PATH ? 'access' : operationOf(path);
}

/** Of a request whose answer was sent, or whose client is gone. */
export function outcomeOf({ failure: reason }: ProviderRequest, response: Response): RequestOutcome {
  if (reason !== undefined) return { code: STATUS_OF[reason], reason };
  return { code: response.writableFinished ? response.statusCode : CLIENT_GONE, reason };
}
