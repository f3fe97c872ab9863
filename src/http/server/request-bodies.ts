import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { SystemMonotonicTime } from '../../time/clock';
import { FairQueue } from '../../concurrency/fair-queue';
import { Overloaded, InvalidRequest } from '../../errors/request-errors';
import { isUtf8 } from 'node:buffer';
import { Injectable } from '@nestjs/common';
import { parse } from 'content-type';
import getRawBody, { type Options } from 'raw-body';
import { Admission } from '../../limits/admission';
import { MAX_VALUE_BYTES } from '../../secrets/secret';
import { carriesBody, pathOf, type ProviderRequest } from '../request/provider-request';
import { subjectOf } from '../request/request-subject';

/** Some 20 MB a second of all addresses together: beyond that the garbage collector holds everybody up. */
const CHUNK_EVERY_MS = 3;

/** What is smaller is not waited for: it costs what its sender does to send it. */
const LARGE_CHUNK_BYTES = 16 * 1024;

/** One for the process, as its garbage collector is. What waits has some hundred KiB in the buffers of the operating system. */
const turns = new FairQueue(
  { maxRunning: 1, maxRunningPerKey: 1, maxWaiting: 64, maxWaitingPerKey: 16, maxWaitMs: 30_000 },
  new SystemMonotonicTime(),
  () => new Overloaded(),
);

/**
 * Reads what is still to come of a body that nobody wants, a chunk of 64 KiB at a time, the addresses by turns. Not read at
 * all, it would end the connection with a reset before the client has seen its refusal; which is what happens where too
 * many wait. Resolves at its end.
 */
export function discardBody(request: IncomingMessage): Promise<void> {
  const { remoteAddress = '' } = request.socket;
  return new Promise((resolve) => {
    finished(request, () => resolve());
    request.on('data', ({ length }: Buffer) => {
      if (length < LARGE_CHUNK_BYTES) return;
      request.pause();
      turns
        .run(remoteAddress, () => pause(CHUNK_EVERY_MS))
        .then(() => request.resume(), () => request.socket.destroy()); // prettier-ignore
    });
    // node:http discards at full speed what nobody has begun to read when the answer has ended.
    request.read(0);
    // Whoever gave up reading it has paused it.
    request.resume();
  });
}

/** A body of ours is flat, an access request has a list in an object, and so has a ProxyRequest its data. */
export const MAX_DEPTH = 3;
/** Values and names together: an access request asks for 64 operations at most. */
export const MAX_ITEMS = 256;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const OPEN_OBJECT = 0x7b;
const CLOSE_LIST = 0x5d;
const CLOSE_OBJECT = 0x7d;

/**
 * Whether JSON text has no more structure than any body of ours, so that parsing it takes time and memory by its length
 * alone: three megabytes of `[` take JSON.parse two seconds. Whether it is JSON at all is not looked at.
 */
export function isShallowJson(bytes: Uint8Array): boolean {
  let depth = 0;
  let items = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA) items += 1;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth += 1;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    if (depth > MAX_DEPTH || items >= MAX_ITEMS) return false;
  }
  return true;
}

/** Where the string ends that begins here: at its closing quote, or behind the text. */
function endOfString(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

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
    const received = await readBody(request, { limit, length: length ?? null });
    request.bodyBytes = received.length;
    return parsed(received);
  }
}

/** @throws an error with `status`, and with `limit` where it is too large, once the client has sent all of it */
async function readBody(request: ProviderRequest, bounds: Options): Promise<Buffer> {
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
