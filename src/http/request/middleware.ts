import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HeadersTooLarge, InvalidRequest } from '../../errors/request-errors';
import { noteWhoWrites } from './credential-headers';
import { type ProviderRequest, NO_TARGET, parseTarget, operationOf, pathOf } from './provider-request';
import { beginCleanup } from '../server/request-cleanup';
import { PROVIDER } from '../../authz/grant';

/** Several steps as one: each that Express and Nest are given by itself matches the path anew. */
export function composeMiddleware(steps: readonly RequestHandler[]): RequestHandler {
  return (request: Request, response: Response, next: NextFunction): void => {
    const go = (at: number): void => {
      const step = steps[at];
      if (step === undefined) {
        next();
        return;
      }
      try {
        void step(request, response, (error?: unknown) => (error === undefined ? go(at + 1) : next(error)));
      } catch (error: unknown) {
        // A step may come after the body was read, where nobody else would catch it.
        next(error);
      }
    };
    go(0);
  };
}

const SANE = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** Takes over the caller's X-Request-Id when it is sane, makes one otherwise, and answers with it. */
function assignRequestId(request: IncomingMessage, response: ServerResponse): string {
  const sent = request.headers['x-request-id'];
  const id = typeof sent === 'string' && SANE.test(sent) ? sent : randomUUID();
  response.setHeader('X-Request-Id', id);
  return id;
}

/** Browsers send some twenty, proxies add a few. */
const MAX_HEADER_PAIRS = 100;

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

const PREFIX = `/system-server/v1alpha1/${PROVIDER.dataType}/${PROVIDER.group}/${PROVIDER.version}`;

/**
 * The calls as apps make them to system-server: the same operation under a longer path, answered in system-server's
 * wrapping. The path is shortened here, and everything behind (guard, validation, use-case) is the same.
 */
export function systemServerRoute(request: Request, _response: Response, next: NextFunction): void {
  const path = pathOf(request);
  if (path.startsWith(`${PREFIX}/`) && operationOf(path.slice(PREFIX.length)) !== undefined) {
    const renamed = request as ProviderRequest;
    renamed.asSystemServer = true;
    renamed.url = renamed.url.slice(PREFIX.length);
    renamed.target = { ...renamed.target, path: path.slice(PREFIX.length) };
  }
  next();
}
