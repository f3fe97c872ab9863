import type { Readable } from 'node:stream';
import { Semaphore } from 'async-mutex';
import { quietTurn } from '../../../concurrency/quiet-turn';
import * as json from '../../../json/json';
import { acquirePermit, type CallTime } from './call-time';

/** An answer was larger than the limit; the rest of it was not received. */
export class AnswerTooLarge extends Error {}

/** Answers up to this size are read without waiting for others. */
const SMALL_BYTES = 512 * 1024;

/** Parsing takes up to four times the size of the text for a moment, so large answers are read one at a time. */
const MAX_LARGE_ANSWERS = 1;

/**
 * Reads answers in bounded memory: large ones one by one, and none above the limit. The rest of a waiting answer stays with the server,
 * as its connection is not read meanwhile.
 */
export class AnswerBodies {
  readonly #large = new Semaphore(MAX_LARGE_ANSWERS);

  /**
   * Returns the parsed body, or undefined where it is not JSON.
   * @throws AnswerTooLarge, or the error that ended the body early
   */
  async read(
    { data: body, headers }: Readonly<{ data: Readable; headers: Readonly<Record<string, unknown>> }>,
    maxBytes: number,
    time: CallTime,
  ): Promise<unknown> {
    const { signal } = time;
    const destroy = (): void => void body.destroy(new Error('The time of the call is up.'));
    signal.addEventListener('abort', destroy, { once: true });
    let release: (() => void) | undefined;
    try {
      signal.throwIfAborted();
      const announcedBytes = Number(headers['content-length'] ?? 0);
      if (announcedBytes > maxBytes) throw new AnswerTooLarge();
      const received = new GrowingBuffer();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        if (received.length + chunk.length > maxBytes) throw new AnswerTooLarge();
        if (release === undefined && received.length + chunk.length > SMALL_BYTES) {
          release = await time.paused(acquirePermit(this.#large, { signal }));
          received.reserve(announcedBytes);
        }
        received.add(chunk);
      }
      return await parseSlicedJson(received.take());
    } finally {
      body.destroy();
      release?.();
      signal.removeEventListener('abort', destroy);
    }
  }
}

/** One piece of memory, since a list of chunks could be a list of single bytes. */
class GrowingBuffer {
  #bytes = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#bytes.length) this.reserve(Math.max(needed, 2 * this.#bytes.length));
    chunk.copy(this.#bytes, this.#length);
    this.#length = needed;
  }

  reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(bytes);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  /** Returns the bytes and drops its own reference to them. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.alloc(0);
    return bytes;
  }
}

/** How much is parsed at once, unless a single item is longer. */
const SLICE_BYTES = 128 * 1024;

/**
 * How many commas, `[` and `{` are parsed at once: a hundred KiB of an answer have some thousand, and JSON.parse takes a second for eight megabytes
 * of nothing else.
 */
const MAX_MARKS = 32 * 1024;

/** The position of a list in the outermost object, and the positions at which it may be cut. */
interface List {
  readonly from: number;
  to: number;
  /** The first comma behind each SLICE_BYTES of items. */
  readonly cuts: number[];
}

/**
 * Parses JSON whose bulk is lists in the outermost object, one slice at a time with other requests in between: JSON.parse
 * alone takes some thirty milliseconds for seven megabytes. Returns undefined where it is not JSON, or large and no answer of Infisical: no object,
 * or more structure in one piece than MAX_MARKS.
 */
export async function parseSlicedJson(bytes: Buffer): Promise<unknown> {
  try {
    const isLarge = bytes.length > SLICE_BYTES;
    if (isLarge && !/^\s*\{/.test(bytes.toString('latin1', 0, 64))) return undefined;
    const lists = isLarge ? await listsIn(bytes) : [];
    if (lists.length === 0) return JSON.parse(bytes.toString()) as unknown;
    const parsed: unknown[][] = [];
    for (const list of lists) parsed.push(await itemsOf(bytes, list));
    return withLists(JSON.parse(frameOf(bytes, lists)) as object, parsed);
  } catch {
    // The text of a SyntaxError can quote the body.
    return undefined;
  }
}

/** @throws SyntaxError where the text outside of the lists, or what is between two cuts of one, has more structure than MAX_MARKS */
async function listsIn(bytes: Buffer): Promise<readonly List[]> {
  const lists: List[] = [];
  let list: List | undefined;
  let depth = 0;
  let marks = 0;
  let marksOutside = 0;
  let sliceEnd = SLICE_BYTES;
  let cutAfter = 0;
  for (let at = bytes.indexOf(json.OPEN_OBJECT); at >= 0 && at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === json.QUOTE) at = json.endOfString(bytes, at);
    else if (byte === json.OPEN_LIST || byte === json.OPEN_OBJECT) {
      depth += 1;
      marks += 1;
      if (depth === 2 && byte === json.OPEN_LIST) {
        list = { from: at, to: at, cuts: [] };
        cutAfter = at + SLICE_BYTES;
        marksOutside = marks;
        marks = 0;
      }
    } else if (byte === json.CLOSE_LIST || byte === json.CLOSE_OBJECT) {
      if (depth === 2 && list !== undefined) {
        list.to = at;
        lists.push(list);
        list = undefined;
        marks = marksOutside;
      }
      depth -= 1;
    } else if (byte === json.COMMA) {
      marks += 1;
      if (depth === 2 && list !== undefined && at > cutAfter) {
        list.cuts.push(at);
        cutAfter = at + SLICE_BYTES;
        marks = 0;
      }
    }
    if (marks > MAX_MARKS) throw new SyntaxError();
    if (at < sliceEnd) continue;
    await quietTurn('parse', '');
    sliceEnd = at + SLICE_BYTES;
  }
  // A list without an end would be parsed in one piece with all that is outside of the lists.
  if (depth !== 0) throw new SyntaxError();
  return lists;
}

async function itemsOf(bytes: Buffer, { from, to, cuts }: List): Promise<unknown[]> {
  const items: unknown[] = [];
  let begin = from + 1;
  for (const end of [...cuts, to]) {
    const slice = JSON.parse(`[${bytes.toString('utf8', begin, end)}]`) as unknown[];
    // An empty slice is an empty list, but behind a comma it is not JSON.
    if (slice.length === 0 && cuts.length > 0) throw new SyntaxError();
    for (const item of slice) items.push(item);
    begin = end + 1;
    // Behind a list without a cut too: an answer may be nothing but such lists.
    await quietTurn('parse', '');
  }
  return items;
}

/** Returns the text with each list replaced by a list of its own number. */
function frameOf(bytes: Buffer, lists: readonly List[]): string {
  let frame = '';
  let begin = 0;
  for (const [at, { from, to }] of lists.entries()) {
    frame += `${bytes.toString('utf8', begin, from + 1)}${at}`;
    begin = to;
  }
  return frame + bytes.toString('utf8', begin);
}

/** Puts the lists back. The outermost object has no other lists than the replaced ones. */
function withLists(frame: object, lists: readonly unknown[][]): object {
  const entries = Object.entries(frame).map(([name, value]: [string, unknown]) => [
    name,
    Array.isArray(value) ? lists[Number(value[0])] : value,
  ]);
  return Object.fromEntries(entries) as object;
}
