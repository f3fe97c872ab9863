import type { MonotonicTime } from '../../time/clock';
import { FairQueue, type FairQueueBounds } from '../../concurrency/fair-queue';
import { quietTurn } from '../../concurrency/quiet-turn';
import { ClientGone, Overloaded } from '../../errors/request-errors';
import { ListTooLarge } from '../../errors/store-errors';
import type { Admission } from '../../limits/admission';
import type { Release } from '../../concurrency/shared-capacity';
import type { RateLimits } from '../../limits/rate-limits';
import type { ProviderRequest } from '../request/provider-request';
import { chargeBytes, subjectOf } from '../request/request-subject';

/** What is no longer is neither counted nor made in parts. */
export const SMALL_ANSWER_LENGTH = 16 * 1024;
/** What no pod should hold for one client: twice the largest workspace of the default quota, as JSON may escape what is in it. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const CHUNK_LENGTH = 64 * 1024;

/** One chunk of all answers together in a turn of the event loop; how many there are is bounded by their memory. */
const TURNS: FairQueueBounds = {
  maxRunning: 1,
  maxRunningPerKey: 1,
  maxWaiting: 4_096,
  maxWaitingPerKey: 4_096,
  maxWaitMs: 30_000,
};

/** The text of an answer, and the memory that was set aside for it. */
export interface LargeText {
  readonly chunks: readonly Buffer[];
  /** To be called once the client has taken all of it, or is gone. */
  readonly release: Release;
}

/** What was set aside for a text so far. */
interface Aside {
  bytes: number;
  readonly held: Release[];
}

/**
 * Makes the text of answers that may be lists of many megabytes: item by item, the callers by turns and other requests in
 * between, and each byte counted against the caller's share until the client has taken it.
 */
export class LargeAnswers {
  private readonly turns: FairQueue;

  constructor(
    private readonly admission: Admission,
    private readonly rateLimits: RateLimits,
    time: MonotonicTime,
  ) {
    this.turns = new FairQueue(TURNS, time, () => new Overloaded());
  }

  /** @throws TooManyRequests, Overloaded, ListTooLarge, ClientGone; nothing is set aside then */
  async textOf(request: ProviderRequest, body: object): Promise<LargeText> {
    const length = lengthOf(body);
    // The store has read it, whatever becomes of the answer: or whoever is refused or quits could ask for nothing again and again.
    chargeBytes(this.rateLimits, request, length);
    if (length > MAX_ANSWER_BYTES) throw new ListTooLarge();
    if (request.cleanup.hasRun) throw new ClientGone();
    // The values that the text is made of are in memory until it is whole. Both at once: or of many lists none would end.
    const [values, text] = this.#take(request, length);
    const held: Release[] = [text];
    const release = (): void => held.forEach((giveBack) => giveBack());
    try {
      return { chunks: await this.#chunksOf(request, body, { bytes: length, held }), release };
    } catch (error: unknown) {
      release();
      throw error;
    } finally {
      values();
    }
  }

  #take(request: ProviderRequest, length: number): readonly [values: Release, text: Release] {
    const values = this.admission.answer(subjectOf(request), length);
    try {
      return [values, this.admission.answer(subjectOf(request), length)];
    } catch (error: unknown) {
      values();
      throw error;
    }
  }

  /** What escaping adds to the length that was set aside is set aside on the way. */
  async #chunksOf(request: ProviderRequest, body: object, aside: Aside): Promise<readonly Buffer[]> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for (const text of textsOf(body)) {
      const chunk = Buffer.from(text);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new ListTooLarge();
      if (bytes > aside.bytes) {
        aside.held.push(this.admission.answer(subjectOf(request), bytes - aside.bytes));
        aside.bytes = bytes;
      }
      chunks.push(chunk);
      await this.turns.run(subjectOf(request).key, quietTurn);
      if (request.cleanup.hasRun) throw new ClientGone();
    }
    return chunks;
  }
}

/** About how long the JSON text of a value is, without what escaping adds. */
export function lengthOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let length = 16;
  for (const field of Object.values(value)) length += 8 + lengthOf(field);
  return length;
}

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

/** An envelope, or one that is wrapped in another. */
interface Wrapping {
  readonly data?: unknown;
}

/** In no envelope: their messages are ours. */
const DATA = '\0data';

/** The JSON text of an envelope, in parts: each item of its list is one. */
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
