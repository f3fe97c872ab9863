import type { NextFunction, Request, Response } from 'express';
import { HeadersTooLarge, InvalidRequest } from '../errors/request-errors';
import { noteWhoWrites } from './credential-headers';
import type { ProviderRequest } from './provider-request';
import { beginCleanup } from './request-cleanup';
import { assignRequestId } from './request-id';
import { NO_TARGET, parseTarget } from './request-target';

/** Browsers send some twenty, proxies add a few. */
export const MAX_HEADER_PAIRS = 100;

/** Gives a request its id, its cleanup and its target; and its answer what every answer carries, also a refusal. */
export function beginRequest(request: Request, response: Response, next: NextFunction): void {
  noteWhoWrites(request);
  const begun = request as ProviderRequest;
  begun.id = assignRequestId(request, response);
  begun.cleanup = beginCleanup(request, response);
  const target = parseTarget(request.url);
  begun.refusal = refusalOf(request, target);
  begun.target = typeof target === 'string' ? NO_TARGET : target;
  // Express would parse it anew each time it is asked for.
  Object.defineProperty(request, 'query', { value: begun.target.query, configurable: true });
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
}

/** Refuses what could be read in two ways. It comes behind the log, so that the refusal is logged. */
export function refuseAmbiguous(request: Request, response: Response, next: NextFunction): void {
  const { refusal } = request as ProviderRequest;
  // What follows on the connection comes from the same hand.
  if (refusal !== undefined) response.setHeader('Connection', 'close');
  next(refusal);
}

/** Node drops the headers behind the first 1,000 unseen: a request that has as many never gets so far. */
function refusalOf({ rawHeaders }: Request, target: unknown): ProviderRequest['refusal'] {
  if (rawHeaders.length > 2 * MAX_HEADER_PAIRS) return new HeadersTooLarge();
  return typeof target === 'string' ? new InvalidRequest('request target', target) : undefined;
}
