import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { quietTurn } from '../../concurrency/quiet-turn';
import { ClientGone } from '../../errors/request-errors';
import { ListTooLarge } from '../../errors/store-errors';
import type { Admission, Release } from '../../limits/admission';
import type { RateLimits } from '../../limits/rate-limits';
import { chargeBytes, type ProviderRequest, subjectOf } from '../request/provider-request';
import { discardBody } from './request-bodies';

/** How long we wait for a client before its connection is cut. */
export interface AnswerTimeouts {
  /** While it reads nothing of an answer; node:http counts each byte that leaves as progress. */
  readonly stalledMs: number;
  /** Until it has read all of a large answer, however steadily it reads. */
  readonly largeMs: number;
  /** Until it closes its side, once the operating system has all of a large answer. */
  readonly closeMs: number;
}

const TIMEOUTS: AnswerTimeouts = { stalledMs: 30_000, largeMs: 120_000, closeMs: 30_000 };

/** Ends an answer, in JSON or as another type. Express would write head and body separately, and read headers that no client of ours sends. */
export function send(
  response: ServerResponse,
  status: number,
  parts: readonly (string | Buffer)[],
  { stalledMs } = TIMEOUTS,
  type = 'application/json',
): void {
  const length = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  response.statusCode = status;
  response.setHeader('Content-Type', `${type}; charset=utf-8`);
  response.setHeader('Content-Length', length);
  if (!response.req.complete) endBehindBody(response.req.socket, discardBody(response.req));
  response.socket?.setTimeout(stalledMs);
  response.once('timeout', cut);
  const last = parts.length - 1;
  if (last > 0) response.cork();
  for (const part of parts.slice(0, last)) response.write(part);
  response.end(parts[last]);
}

/** The last body of each connection that was discarded, or still is. */
const discardedBodies = new WeakMap<Socket, Promise<void>>();

/**
 * Has a connection that ends with an answer closed behind the body that is still to come. Node would close it with the answer, and what then
 * arrives of the body would reset it before its client has read the answer. What bounds a request's time, its connection and discarded bodies bounds this too.
 */
function endBehindBody(socket: Socket, received: Promise<void>): void {
  discardedBodies.set(socket, received);
  // It is that of a large answer, which waits for its client, or was set for an earlier body.
  if (Object.hasOwn(socket, 'destroySoon')) return;
  socket.destroySoon = () => {
    socket.end();
    void discardedBodies.get(socket)?.then(() => Socket.prototype.destroySoon.call(socket));
  };
}

/** Calls a function when a client has read all of a large answer, or has gone. */
export function whenReceived({ socket }: IncomingMessage, release: Release): void {
  // Pipelined answers may be several.
  socket.setMaxListeners(0);
  if (socket.closed) release();
  else socket.once('close', release);
}

/**
 * Ends an answer with a large body, as bytes: Node would hold a string several times until the client has read it. The
 * answer is the last one of its connection, which stays open until the client closes it: only that shows that the client
 * has read all of it, and that the operating system no longer buffers any of it.
 */
export function sendLarge(
  response: ServerResponse,
  status: number,
  chunks: readonly Buffer[],
  timeouts = TIMEOUTS,
  type?: string,
): void {
  const { socket } = response.req;
  let overdue = setTimeout(() => cut(socket), timeouts.largeMs).unref();
  socket.once('close', () => clearTimeout(overdue));
  response.setHeader('Connection', 'close');
  // Node would destroy the socket here, while the operating system still sends.
  socket.destroySoon = () => {
    socket.setTimeout(0).end();
    clearTimeout(overdue);
    overdue = setTimeout(() => cut(socket), timeouts.closeMs).unref();
  };
  send(response, status, chunks, timeouts, type);
}

/** Closes a connection with a reset, so that the operating system discards what the client has not read. */
function cut(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}

/** Answers up to this length are neither counted nor made in chunks. */
export const SMALL_ANSWER_LENGTH = 16 * 1024;
/** The most that a pod should hold for one client: twice the largest workspace of the default quota, since JSON may escape it. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const CHUNK_LENGTH = 64 * 1024;

/**
 * Makes the text of answers that may be lists of many megabytes: item by item, fairly among the callers and with other
 * requests in between. Each byte counts against the caller's share until the client has read it.
 */
export class LargeAnswers {
  constructor(
    private readonly admission: Admission,
    private readonly rateLimits: RateLimits,
  ) {}

  /** Returns the JSON text of an answer. @throws TooManyRequests, Overloaded, ListTooLarge, ClientGone; nothing stays reserved then */
  async textOf(request: ProviderRequest, body: object): Promise<LargeText> {
    const length = lengthOf(body);
    const subject = subjectOf(request);
    // Charged whatever becomes of the answer, since the store has read it: a caller that is refused or quits must not do so for free.
    chargeBytes(this.rateLimits, subject, length);
    if (length > MAX_ANSWER_BYTES) throw new ListTooLarge();
    if (request.cleanup.hasRun) throw new ClientGone();
    // The values stay in memory until their text is complete. Both are reserved first: else many lists could block each other.
    const releaseValues = this.admission.answers.take(subject, length);
    const releases: Release[] = [];
    const release = (): void => releases.forEach((one) => one());
    let reserved = 0;
    const reserve = (bytes: number): void => {
      if (bytes <= reserved) return;
      releases.push(this.admission.answers.take(subject, bytes - reserved));
      reserved = bytes;
    };
    try {
      reserve(length);
      return { chunks: await chunksOf(request, body, subject.key, reserve), release };
    } catch (error: unknown) {
      release();
      throw error;
    } finally {
      releaseValues();
    }
  }
}

/** Returns the text in chunks, and reserves the memory that escaping adds on the way. */
async function chunksOf(
  { cleanup }: ProviderRequest,
  body: object,
  subjectKey: string,
  reserve: (bytes: number) => void,
): Promise<readonly Buffer[]> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const parts = jsonParts(body);
  // No part is made before the first turn.
  let part: IteratorResult<string, void> = { value: '' };
  while (part.done !== true) {
    await quietTurn('write', subjectKey);
    if (cleanup.hasRun) throw new ClientGone();
    let text = '';
    for (; part.done !== true && text.length < CHUNK_LENGTH; part = parts.next()) text += part.value;
    const chunk = Buffer.from(text);
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new ListTooLarge();
    reserve(bytes);
    chunks.push(chunk);
  }
  return chunks;
}

/** The text of an answer, and the memory that is reserved for it. */
interface LargeText {
  readonly chunks: readonly Buffer[];
  /** To be called once the client has read all of it, or has gone. */
  readonly release: Release;
}

/** Returns about how long the JSON text of a value is, without escaping. */
export function lengthOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let length = 16;
  for (const field of Object.values(value)) length += 8 + lengthOf(field);
  return length;
}

/** An envelope, or one within another. */
interface Wrapping {
  readonly data?: unknown;
}

/** A placeholder that occurs in no envelope: their messages are ours. */
const DATA = '\0data';

/** Yields the JSON text of an envelope in parts, one for each item of its list. */
function* jsonParts(body: Wrapping): Generator<string, void> {
  const { data } = body;
  if (typeof data !== 'object' || data === null || !hasList(body)) {
    yield JSON.stringify(body);
    return;
  }
  const [before = '', after = ''] = JSON.stringify({ ...body, data: DATA }).split(JSON.stringify(DATA));
  yield before;
  if (Array.isArray(data)) {
    yield '[';
    for (const [at, item] of data.entries()) yield `${at === 0 ? '' : ','}${JSON.stringify(item)}`;
    yield ']';
  } else yield* jsonParts(data);
  yield after;
}

function hasList({ data }: Wrapping): boolean {
  return Array.isArray(data) || (typeof data === 'object' && data !== null && hasList(data));
}
