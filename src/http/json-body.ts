import { json, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { InvalidRequest } from '../errors/request-errors';
import { MAX_VALUE_BYTES } from '../secrets/secret';

/** JSON may escape each byte of a value as six (`\u0001`); the rest is room for the other fields. */
export const MAX_BODY_BYTES = 6 * MAX_VALUE_BYTES + 16 * 1024;

/** Parses a JSON body. No body at all is an empty object: every field of some operations is optional. */
export const jsonBody: readonly RequestHandler[] = [
  json({ limit: MAX_BODY_BYTES, strict: true, inflate: false, type: 'application/json' }),
  requirePlainObject,
];

function requirePlainObject(request: Request, _response: Response, next: NextFunction): void {
  const body: unknown = request.body;
  if (body === undefined && carriesBody(request)) {
    next(new InvalidRequest('body', 'must be a JSON object, sent with Content-Type: application/json'));
  } else if (Array.isArray(body)) {
    next(new InvalidRequest('body', 'must be a JSON object'));
  } else if (inheritedName(body) !== undefined) {
    next(new InvalidRequest(inheritedName(body) ?? '', 'is not a field of this request'));
  } else {
    request.body = body ?? {};
    next();
  }
}

/** `__proto__`, `constructor` and the like: Nest and class-transformer drop them silently; other unknown fields are refused. */
function inheritedName(body: unknown): string | undefined {
  return Object.keys(body ?? {}).find((name) => name in Object.prototype);
}

function carriesBody(request: Request): boolean {
  return (
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  );
}
