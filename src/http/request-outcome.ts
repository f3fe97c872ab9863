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

/** Undefined for other routes than the five operations and the one for access tokens. */
export function requestedOperationOf(request: ProviderRequest): RequestedOperation | undefined {
  const path = pathOf(request);
  return path === ACCESS_PATH ? 'access' : operationOf(path);
}

/** Of a request that has ended. Where the client went away, what it asked for may have been done all the same. */
export function outcomeOf({ failure, cleanup }: ProviderRequest, response: Response): RequestOutcome {
  const reason = failure ?? (cleanup.isAnswered ? undefined : 'CLIENT_GONE');
  return { code: reason === undefined ? response.statusCode : STATUS_OF[reason], reason };
}
