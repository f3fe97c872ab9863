import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { HeadersTooLarge, InvalidRequest } from '../../errors/request-errors';
import { recordForwarding } from './credential-headers';
import { type ProviderRequest, NO_TARGET, parseTarget, operationOf, pathOf } from './provider-request';
import { beginCleanup } from '../server/request-cleanup';
import { PROVIDER } from '../../authz/grant';

/** Composes middleware into one: Express and Nest match the path again for each that they are given. */
export function composeMiddleware(steps: readonly RequestHandler[]): RequestHandler {
  return (request: Request, response: Response, next: NextFunction): void => {
    const run = (at: number): void => {
      const step = steps[at];
      if (step === undefined) {
        next();
        return;
      }
      try {
        void step(request, response, (error?: unknown) => (error === undefined ? run(at + 1) : next(error)));
      } catch (error: unknown) {
        // A step that runs asynchronously, after the body was read, has nobody else to catch its error.
        next(error);
      }
    };
    run(0);
  };
}

/** Gives a request its id, its cleanup and its target, and sets the headers that every answer has, also a refusal. */
export function beginRequest(request: Request, response: Response, next: NextFunction): void {
  recordForwarding(request);
  const begun = request as ProviderRequest;
  begun.id = assignRequestId(request, response);
  begun.cleanup = beginCleanup(request, response);
  const target = parseTarget(request.url);
  begun.refusal = refusalOf(request, target);
  begun.target = typeof target === 'string' ? NO_TARGET : target;
  // Express would parse the query again at each access.
  Object.defineProperty(request, 'query', { value: begun.target.query, configurable: true });
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
}

/** Refuses a request that could be read in two ways. It runs after the request log, so that the refusal is logged. */
export function refuseAmbiguous(request: Request, response: Response, next: NextFunction): void {
  const { refusal } = request as ProviderRequest;
  // Whatever follows on the connection comes from the same sender.
  if (refusal !== undefined) response.setHeader('Connection', 'close');
  next(refusal);
}

/**
 * Serves the calls that apps make to system-server: the same operation under a longer path, answered as system-server
 * answers. The path is shortened here; guard, validation and use-case are the same.
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

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** Browsers send about twenty headers, and proxies add a few. */
const MAX_HEADER_PAIRS = 100;

const PREFIX = `/system-server/v1alpha1/${PROVIDER.dataType}/${PROVIDER.group}/${PROVIDER.version}`;

/** Returns the caller's X-Request-Id if it is well-formed, else a new one, and adds it to the answer. */
function assignRequestId(request: IncomingMessage, response: ServerResponse): string {
  const sent = request.headers['x-request-id'];
  const id = typeof sent === 'string' && REQUEST_ID.test(sent) ? sent : randomUUID();
  response.setHeader('X-Request-Id', id);
  return id;
}

/** Returns why a request is refused. Node silently drops all headers after the first 1,000, so far fewer are allowed. */
function refusalOf({ rawHeaders }: Request, target: unknown): ProviderRequest['refusal'] {
  if (rawHeaders.length > 2 * MAX_HEADER_PAIRS) return new HeadersTooLarge();
  return typeof target === 'string' ? new InvalidRequest('request target', target) : undefined;
}
