import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { isUtf8 } from 'node:buffer';
import { Injectable } from '@nestjs/common';
import { parse } from 'content-type';
import getRawBody from 'raw-body';
import { SystemMonotonicTime } from '../../time/clock';
import { FairQueue } from '../../concurrency/fair-queue';
import { ClientGone, Overloaded, InvalidRequest } from '../../errors/request-errors';
import { CLOSE_LIST, CLOSE_OBJECT, COMMA, endOfString, OPEN_LIST, OPEN_OBJECT, QUOTE } from '../../json/json';
import { Admission } from '../../limits/admission';
import { MAX_VALUE_BYTES } from '../../secrets/secret';
import { carriesBody, type ProviderRequest, subjectOf } from '../request/provider-request';
import { cut } from './express-messages';

/** JSON may escape each byte of a value as six (`\u0001`); the rest is for the other fields. */
const MAX_BODY_BYTES = 6 * MAX_VALUE_BYTES + 16 * 1024;

/** Bodies without a value need no more. */
const MAX_SMALL_BODY_BYTES = 64 * 1024;
/** The routes that store a value; every other body is a small one, also that of the unauthenticated access route. */
const STORES_A_VALUE = /^\/(CreateSecret|UpdateSecret|admin\/secret\/[^/]+)$/;

const BYTE_ORDER_MARK = '\uFEFF';

/** `utf8` is what Java and PHP clients write. */
const UTF_8 = /^utf-?8$/i;

/** Reads the JSON bodies of requests, after their headers were authenticated. */
@Injectable()
export class RequestBodies {
  constructor(private readonly admission: Admission) {}

  /**
   * Sets `request.body` to a plain object, empty without a body, since all fields of some operations are optional. A body
   * that was read already stays. The memory that it may take is reserved until the request ends.
   * @throws InvalidRequest, Overloaded, TooManyRequests, ClientGone, or an error with `status`, and with `limit` where the body is too large
   */
  async read(request: ProviderRequest): Promise<void> {
    if (request.body !== undefined) return;
    if (!carriesBody(request)) {
      request.body = {};
      return;
    }
    const { type, parameters } = parse(request.headers['content-type'] ?? '');
    if (type !== 'application/json')
      throw new InvalidRequest('body', 'must be a JSON object, sent with Content-Type: application/json');
    const { 'content-encoding': encoding = 'identity', 'content-length': length } = request.headers;
    const { charset = 'utf-8' } = parameters;
    if (encoding.toLowerCase() !== 'identity' || !UTF_8.test(charset)) throw new BodyUnreadable();
    const limit = STORES_A_VALUE.test(request.target.path) ? MAX_BODY_BYTES : MAX_SMALL_BODY_BYTES;
    // A body that announces more than the limit is discarded; one that announces nothing may take all of it.
    const bytes = length === undefined ? limit : Number(length) > limit ? 0 : Number(length);
    const subject = subjectOf(request);
    const memory = subject.kind === undefined ? this.admission.strangersBodies : this.admission.bodies;
    if (bytes > 0) request.cleanup.add(memory.take(subject, bytes));
    let received: Buffer;
    try {
      // body-parser would call raw-body with a callback, which costs an asynchronous resource for each request.
      received = await getRawBody(request, { limit, length: length ?? null });
    } catch (error: unknown) {
      // raw-body calls it a fault of the server where the client has gone before it begins to read.
      if (request.socket.destroyed || isAborted(error)) throw new ClientGone();
      // The client reads its refusal once it has sent all of the body.
      await discardBody(request);
      throw error;
    }
    request.bodyBytes = received.length;
    // Broken UTF-8 would be replaced silently, and the value would not come back as it was sent.
    if (!isUtf8(received)) throw new BodyUnreadable();
    if (!isShallowJson(received))
      throw new InvalidRequest(
        'body',
        `must be a JSON object of at most ${MAX_ITEMS} fields, nested ${MAX_DEPTH} deep at most`,
      );
    const text = received.toString();
    let body: unknown = {};
    try {
      if (text !== '') body = JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
    } catch {
      throw new BodyUnreadable();
    }
    requireObject(body, 'body');
    request.body = body;
  }
}

/** Returns whether raw-body says that the client hung up before its body had come. */
function isAborted(error: unknown): boolean {
  return error instanceof Error && 'type' in error && error.type === 'request.aborted';
}

/**
 * Requires a plain JSON object; the request classes check its fields later. Fields named `__proto__`, `constructor` and the
 * like are refused here, since Nest and class-transformer would drop them silently. @throws InvalidRequest
 */
export function requireObject(body: unknown, field: string): void {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new InvalidRequest(field, 'must be a JSON object');
  const inherited = Object.keys(body).find((name) => name in Object.prototype);
  if (inherited !== undefined) throw new InvalidRequest(inherited, 'is not a field of this request');
}

/** A body that is not plain UTF-8, not JSON, or incomplete. The parser's message could quote it; the error filter reads the status. */
class BodyUnreadable extends Error {
  readonly status = 400;
}

/** About 20 MB a second of all addresses together; with more, garbage collection delays every request. */
const CHUNK_EVERY_MS = 3;

/** What is discarded before it waits: as much as one read brings, in however many chunks. */
const UNWAITED_BYTES = 64 * 1024;

/** One queue for the process, as there is one garbage collector. A waiting body has some hundred KiB in the buffers of the operating system. */
const discardQueue = new FairQueue(
  { maxRunning: 1, maxRunningPerKey: 1, maxWaiting: 64, maxWaitingPerKey: 16, maxWaitMs: 30_000 },
  new SystemMonotonicTime(),
  () => new Overloaded(),
);

/**
 * Discards the rest of the body of a refused request, a chunk of 64 KiB at a time and fairly among the addresses. Were it
 * not read, a reset would end the connection before the client has read its refusal; that happens where too many wait.
 * Resolves at the end of the body, or of a connection on which the request was not answered.
 */
export function discardBody(request: IncomingMessage): Promise<void> {
  const { remoteAddress = '' } = request.socket;
  return new Promise((resolve) => {
    finished(request, () => resolve());
    let bytes = 0;
    request.on('data', ({ length }: Buffer) => {
      bytes += length;
      if (bytes < UNWAITED_BYTES) return;
      bytes = 0;
      request.pause();
      discardQueue
        .run(remoteAddress, () => pause(CHUNK_EVERY_MS))
        .then(() => request.resume(), () => (request.complete ? request.resume() : cut(request.socket, 'OVERLOADED'))); // prettier-ignore
    });
    // Unless reading has begun, node:http discards the body at full speed when the answer has ended.
    request.read(0);
    // A reader that gave up has paused the request.
    request.resume();
  });
}

/** Our bodies are flat; an access request has a list in an object, and a ProxyRequest an object in its data. */
export const MAX_DEPTH = 3;
/** An access request asks for at most 64 operations. */
export const MAX_ITEMS = 256;

/**
 * Returns true where JSON text has no more structure than any body of ours, so that parsing it takes time and memory by
 * its length alone: three megabytes of `[` take JSON.parse two seconds. It does not check that the text is JSON.
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
