import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { json, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { InvalidRequest } from '../errors/request-errors';
import { MAX_VALUE_BYTES } from '../secrets/secret';
import { pathOf } from './provider-request';

/** JSON may escape each byte of a value as six (`\u0001`); the rest is room for the other fields. */
const MAX_BODY_BYTES = 6 * MAX_VALUE_BYTES + 16 * 1024;

/** What carries no value needs no more. */
const MAX_SMALL_BODY_BYTES = 64 * 1024;
/** The routes that store a value; every other body, the unauthenticated access route's too, is a small one. */
const STORES_A_VALUE = /^\/(CreateSecret|UpdateSecret|admin\/secret\/[^/]+)$/;

const parseLarge = parserUpTo(MAX_BODY_BYTES);
const parseSmall = parserUpTo(MAX_SMALL_BODY_BYTES);

/** Parses a JSON body. No body at all is an empty object: every field of some operations is optional. */
export const jsonBody: readonly RequestHandler[] = [
  (request, response, next) => {
    const parse = storesAValue(request) ? parseLarge : parseSmall;
    parse(request, response, next);
  },
  requirePlainObject,
];

/** How much of the body of this request will be held in memory, as far as its head tells: all that it may be, where it does not. */
export function bodyBytesOf(request: IncomingMessage): number {
  const limit = storesAValue(request) ? MAX_BODY_BYTES : MAX_SMALL_BODY_BYTES;
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  if (coding !== undefined) return limit;
  const announced = Number(length ?? 0);
  // What is larger is refused unread.
  return announced <= limit ? announced : 0;
}

function storesAValue(request: IncomingMessage): boolean {
  return STORES_A_VALUE.test(pathOf(request));
}

function parserUpTo(limit: number): RequestHandler {
  return json({ limit, strict: true, inflate: false, type: 'application/json', verify: requireUtf8 });
}

/** Broken UTF-8 would be mended silently, and the value would not come back as it was sent. */
function requireUtf8(_request: unknown, _response: unknown, body: Buffer, charset: string): void {
  if (charset !== 'utf-8' || !isUtf8(body)) throw new BodyNotUtf8();
}

/** body-parser makes a 403 of it, and the error filter the 400 that it is. */
class BodyNotUtf8 extends Error {
  readonly status = 400;
}

function requirePlainObject(request: Request, _response: Response, next: NextFunction): void {
  const body: unknown = request.body;
  if (body === undefined && carriesBody(request)) {
    next(new InvalidRequest('body', 'must be a JSON object, sent with Content-Type: application/json'));
    return;
  }
  request.body = body ?? {};
  next(bodyProblem(request.body, 'body'));
}

/** What is wrong with a value that ought to be a plain JSON object; the classes check its fields later. */
export function bodyProblem(body: unknown, field: string): InvalidRequest | undefined {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return new InvalidRequest(field, 'must be a JSON object');
  }
  const inherited = inheritedName(body);
  return inherited === undefined
    ? undefined
    : new InvalidRequest(inherited, 'is not a field of this request');
}

/** `__proto__`, `constructor` and the like: Nest and class-transformer drop them silently; other unknown fields are refused. */
function inheritedName(body: object): string | undefined {
  return Object.keys(body).find((name) => name in Object.prototype);
}

function carriesBody(request: Request): boolean {
  return (
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  );
}
