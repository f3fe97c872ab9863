import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { quietTurn } from '../../concurrency/quiet-turn';
import { ClientGone, Overloaded } from '../../errors/request-errors';
import { ListTooLarge } from '../../errors/store-errors';
import type { Admission } from '../../limits/admission';
import type { Release } from '../../concurrency/shared-capacity';
import type { RateLimits } from '../../limits/rate-limits';
import { chargeBytes, type ProviderRequest, subjectOf } from '../request/provider-request';

/** Answers up to this length are neither counted nor made in chunks. */
export const SMALL_ANSWER_LENGTH = 16 * 1024;
/** The most that a pod should hold for one client: twice the largest workspace of the default quota, since JSON may escape it. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const CHUNK_LENGTH = 64 * 1024;

/** One chunk of all answers together is made in a turn of the event loop; the number of answers is bounded by their memory. */
const QUEUE_BOUNDS: FairQueueBounds = {
  maxRunning: 1,
  maxRunningPerKey: 1,
  maxWaiting: 4_096,
  maxWaitingPerKey: 4_096,
  maxWaitMs: 30_000,
};

/**
 * Makes the text of answers that may be lists of many megabytes: item by item, fairly among the callers and with other
 * requests in between. Each byte counts against the caller's share until the client has read it.
 */
export class LargeAnswers {
  private readonly queue: FairQueue;

  constructor(
    private readonly admission: Admission,
    private readonly rateLimits: RateLimits,
    time: MonotonicTime,
  ) {
    this.queue = new FairQueue(QUEUE_BOUNDS, time, () => new Overloaded());
  }

  /** Returns the JSON text of an answer. @throws TooManyRequests, Overloaded, ListTooLarge, ClientGone; nothing stays reserved then */
  async textOf(request: ProviderRequest, body: object): Promise<LargeText> {
    const length = lengthOf(body);
    // Charged whatever becomes of the answer, since the store has read it: a caller that is refused or quits must not do so for free.
    chargeBytes(this.rateLimits, subjectOf(request), length);
    if (length > MAX_ANSWER_BYTES) throw new ListTooLarge();
    if (request.cleanup.hasRun) throw new ClientGone();
    // The values stay in memory until their text is complete. Both are reserved first: else many lists could block each other.
    const releaseValues = this.admission.answer(subjectOf(request), length);
    const releases: Release[] = [];
    const release = (): void => releases.forEach((one) => one());
    try {
      releases.push(this.admission.answer(subjectOf(request), length));
      return { chunks: await this.#chunksOf(request, body, { bytes: length, releases }), release };
    } catch (error: unknown) {
      release();
      throw error;
    } finally {
      releaseValues();
    }
  }

  /** Returns the text in chunks, and reserves the memory that escaping adds on the way. */
  async #chunksOf(
    request: ProviderRequest,
    body: object,
    reservation: Reservation,
  ): Promise<readonly Buffer[]> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for (const text of textsOf(body)) {
      const chunk = Buffer.from(text);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new ListTooLarge();
      if (bytes > reservation.bytes) {
        reservation.releases.push(this.admission.answer(subjectOf(request), bytes - reservation.bytes));
        reservation.bytes = bytes;
      }
      chunks.push(chunk);
      await this.queue.run(subjectOf(request).key, quietTurn);
      if (request.cleanup.hasRun) throw new ClientGone();
    }
    return chunks;
  }
}

/** The text of an answer, and the memory that is reserved for it. */
interface LargeText {
  readonly chunks: readonly Buffer[];
  /** To be called once the client has read all of it, or has gone. */
  readonly release: Release;
}

/** The memory that is reserved for a text so far. */
interface Reservation {
  bytes: number;
  readonly releases: Release[];
}

/** Returns about how long the JSON text of a value is, without escaping. */
export function lengthOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let length = 16;
  for (const field of Object.values(value)) length += 8 + lengthOf(field);
  return length;
}

/** Yields the JSON text of an envelope in pieces of about a chunk's length. */
function* textsOf(body: object): Generator<string> {
  let text = '';
  for (const part of jsonParts(body)) {
    text += part;
    if (text.length < CHUNK_LENGTH) continue;
    yield text;
    text = '';
  }
  yield text;
}

/** An envelope, or one within another. */
interface Wrapping {
  readonly data?: unknown;
}

/** A placeholder that occurs in no envelope: their messages are ours. */
const DATA = '\0data';

/** Yields the JSON text of an envelope in parts, one for each item of its list. */
function* jsonParts(body: Wrapping): Generator<string> {
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
