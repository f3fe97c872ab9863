import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream';
import { parse } from 'content-type';
import type { Request, RequestHandler } from 'express';
import getRawBody, { type Options } from 'raw-body';
import { InvalidRequest } from '../errors/request-errors';
import { MAX_VALUE_BYTES } from '../secrets/secret';
import { pathOf } from './provider-request';

/** JSON may escape each byte of a value as six (`\u0001`); the rest is room for the other fields. */
const MAX_BODY_BYTES = 6 * MAX_VALUE_BYTES + 16 * 1024;

const BYTE_ORDER_MARK = '\uFEFF';

/** What carries no value needs no more. */
const MAX_SMALL_BODY_BYTES = 64 * 1024;
/** The routes that store a value; every other body, the unauthenticated access route's too, is a small one. */
const STORES_A_VALUE = /^\/(CreateSecret|UpdateSecret|admin\/secret\/[^/]+)$/;

/** Parses a JSON body. No body at all is an empty object: every field of some operations is optional. */
export const jsonBody: RequestHandler = (request, _response, next) => {
  bodyOf(request, storesAValue(request) ? MAX_BODY_BYTES : MAX_SMALL_BODY_BYTES).then((body) => {
    request.body = body;
    next(bodyProblem(body, 'body'));
  }, next);
};

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

/** Neither JSON in plain UTF-8 nor whole; its own words could quote it. The error filter knows the status. */
class BodyUnreadable extends Error {
  readonly status = 400;
}

/** Not body-parser, which runs raw-body with a callback: that costs an asynchronous resource for each request. */
async function bodyOf(request: Request, limit: number): Promise<unknown> {
  if (!carriesBody(request)) return {};
  const { type, parameters } = parse(request.headers['content-type'] ?? '');
  if (type !== 'application/json')
    throw new InvalidRequest('body', 'must be a JSON object, sent with Content-Type: application/json');
  const { 'content-encoding': encoding = 'identity', 'content-length': length } = request.headers;
  const { charset = 'utf-8' } = parameters;
  if (encoding.toLowerCase() !== 'identity' || charset.toLowerCase() !== 'utf-8') throw new BodyUnreadable();
  return parsed(await received(request, { limit, length: length ?? null }));
}

/** @throws an error with `status`, and with `limit` where it is too large, once the client has sent all of it */
async function received(request: Request, bounds: Options): Promise<Buffer> {
  try {
    return await getRawBody(request, bounds);
  } catch (error: unknown) {
    await new Promise((ended) => finished(request.resume(), ended));
    throw error;
  }
}

function parsed(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  // Broken UTF-8 would be mended silently, and the value would not come back as it was sent.
  if (!isUtf8(bytes)) throw new BodyUnreadable();
  const text = bytes.toString();
  try {
    return JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text) as unknown;
  } catch {
    throw new BodyUnreadable();
  }
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
