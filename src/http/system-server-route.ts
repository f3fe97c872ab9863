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
    const renamed = request as ProviderRequest;
    renamed.asSystemServer = true;
    renamed.url = renamed.url.slice(PREFIX.length);
    renamed.target = { ...renamed.target, path: path.slice(PREFIX.length) };
  }
  next();
}
