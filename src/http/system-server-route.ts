import type { NextFunction, Request, Response } from 'express';
import { PROVIDER } from '../grants/grant';
import { operationOf, pathOf, type ProviderRequest } from './provider-request';

const PREFIX = `/system-server/v1alpha1/${PROVIDER.dataType}/${PROVIDER.group}/${PROVIDER.version}`;

/**
 * The calls as apps make them to system-server: the same operation under a longer path, answered in system-server's
 * wrapping. The path is shortened here, and everything behind (guard, validation, use-case) is the same.
 */
export function systemServerRoute(request: Request, _response: Response, next: NextFunction): void {
  const path = pathOf(request);
  if (path.startsWith(`${PREFIX}/`) && operationOf(path.slice(PREFIX.length)) !== undefined) {
    (request as ProviderRequest).asSystemServer = true;
    request.url = request.url.slice(PREFIX.length);
    request.originalUrl = request.url;
  }
  next();
}
