import { isUtf8 } from 'node:buffer';
import { Injectable } from '@nestjs/common';
import { parse } from 'content-type';
import getRawBody, { type Options } from 'raw-body';
import { InvalidRequest } from '../errors/request-errors';
import { Admission } from '../protection/admission';
import { MAX_VALUE_BYTES } from '../secrets/secret';
import { discardBody } from './discard-body';
import { isShallowJson, MAX_DEPTH, MAX_ITEMS } from './json-structure';
import { carriesBody, pathOf, type ProviderRequest } from './provider-request';
import { subjectOf } from './request-subject';

/** JSON may escape each byte of a value as six (`\u0001`); the rest is room for the other fields. */
const MAX_BODY_BYTES = 6 * MAX_VALUE_BYTES + 16 * 1024;

const BYTE_ORDER_MARK = '\uFEFF';

/** Its name, and how Java and PHP clients write it. */
const UTF_8 = /^utf-?8$/i;

/** What carries no value needs no more. */
const MAX_SMALL_BODY_BYTES = 64 * 1024;
/** The routes that store a value; every other body, the unauthenticated access route's too, is a small one. */
const STORES_A_VALUE = /^\/(CreateSecret|UpdateSecret|admin\/secret\/[^/]+)$/;

/** Neither JSON in plain UTF-8 nor whole; its own words could quote it. The error filter knows the status. */
class BodyUnreadable extends Error {
  readonly status = 400;
}

/** Reads the JSON bodies of requests once it is known, as far as headers tell, who sends them. */
@Injectable()
export class RequestBodies {
  constructor(private readonly admission: Admission) {}

  /**
   * Makes the body of a request a plain object; without one, an empty object, since every field of some operations is
   * optional. A body that was read already stays as it is. The memory that it may take is set aside until the request ends.
   * @throws InvalidRequest, Overloaded, TooManyRequests, or an error with `status`
   */
  async read(request: ProviderRequest): Promise<void> {
    if (request.body !== undefined) return;
    const body = carriesBody(request) ? await this.#received(request) : {};
    const problem = bodyProblem(body, 'body');
    if (problem !== undefined) throw problem;
    request.body = body;
  }

  /** Not by body-parser, which runs raw-body with a callback: that costs an asynchronous resource for each request. */
  async #received(request: ProviderRequest): Promise<unknown> {
    const { type, parameters } = parse(request.headers['content-type'] ?? '');
    if (type !== 'application/json')
      throw new InvalidRequest('body', 'must be a JSON object, sent with Content-Type: application/json');
    const { 'content-encoding': encoding = 'identity', 'content-length': length } = request.headers;
    const { charset = 'utf-8' } = parameters;
    if (encoding.toLowerCase() !== 'identity' || !UTF_8.test(charset)) throw new BodyUnreadable();
    const limit = STORES_A_VALUE.test(pathOf(request)) ? MAX_BODY_BYTES : MAX_SMALL_BODY_BYTES;
    // What announces more than the limit is not kept at all; what announces nothing may take all of it.
    const bytes = length === undefined ? limit : Number(length) > limit ? 0 : Number(length);
    if (bytes > 0) request.cleanup.add(this.admission.receive(subjectOf(request), bytes));
    const received = await bytesOf(request, { limit, length: length ?? null });
    request.bodyBytes = received.length;
    return parsed(received);
  }
}

/** @throws an error with `status`, and with `limit` where it is too large, once the client has sent all of it */
async function bytesOf(request: ProviderRequest, bounds: Options): Promise<Buffer> {
  try {
    return await getRawBody(request, bounds);
  } catch (error: unknown) {
    await discardBody(request);
    throw error;
  }
}

function parsed(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  // Broken UTF-8 would be mended silently, and the value would not come back as it was sent.
  if (!isUtf8(bytes)) throw new BodyUnreadable();
  if (!isShallowJson(bytes))
    throw new InvalidRequest(
      'body',
      `must be a JSON object of at most ${MAX_ITEMS} fields, nested ${MAX_DEPTH} deep at most`,
    );
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
