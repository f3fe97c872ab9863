import type { ServerResponse } from 'node:http';
import { ListTooLarge } from '../errors/store-errors';

/** A longer text is written as bytes: as a string, Node would hold it several times over until the client has read it. */
const MAX_WRITTEN_AS_TEXT = 16 * 1024;
/** What no pod should hold for one client: twice the largest workspace of the default quota, as JSON may escape what is in it. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const CHUNK_LENGTH = 64 * 1024;

/** How long a client is waited for before its connection is cut. */
export interface AnswerTimeouts {
  /** While it takes nothing of an answer; node:http counts each byte that leaves as progress. */
  readonly stalledMs: number;
  /** Until it has taken all of a large answer, however steadily it drips. */
  readonly largeMs: number;
}

const TIMEOUTS: AnswerTimeouts = { stalledMs: 30_000, largeMs: 120_000 };

/** Takes so many bytes from the caller's share until the answer has ended. @throws TooManyRequests, Overloaded */
export type HoldBytes = (bytes: number) => void;

/** Ends an answer with a small body; Express's own way writes head and body apart and looks at what no client of ours sends. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  end(response, status, [JSON.stringify(body)]);
}

/**
 * Ends an answer with a body that may be large. A list is made item by item, and its bytes are counted on the way: a text of
 * all of it would take several times its length, on a heap that is smaller than the pod.
 * @throws what `hold` throws, or ListTooLarge; nothing was sent then
 */
export function sendLargeJson(
  response: ServerResponse,
  status: number,
  body: object,
  hold: HoldBytes,
  timeouts = TIMEOUTS,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let text = '';
  const flush = (): void => {
    const chunk = Buffer.from(text);
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new ListTooLarge();
    hold(chunk.length);
    chunks.push(chunk);
    text = '';
  };
  for (const part of jsonParts(body)) {
    text += part;
    if (text.length >= CHUNK_LENGTH) flush();
  }
  if (chunks.length === 0 && text.length <= MAX_WRITTEN_AS_TEXT) {
    end(response, status, [text], timeouts);
    return;
  }
  flush();
  const overdue = setTimeout(() => response.destroy(), timeouts.largeMs).unref();
  response.once('close', () => clearTimeout(overdue));
  end(response, status, chunks, timeouts);
}

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

/** An envelope, or one that is wrapped in another. */
interface Wrapping {
  readonly data?: unknown;
}

/** In no envelope: their messages are ours. */
const DATA = '\0data';

function hasList({ data }: Wrapping): boolean {
  return Array.isArray(data) || (typeof data === 'object' && data !== null && hasList(data));
}

function end(
  response: ServerResponse,
  status: number,
  parts: readonly (string | Buffer)[],
  { stalledMs } = TIMEOUTS,
): void {
  const length = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', length);
  response.socket?.setTimeout(stalledMs);
  const last = parts.length - 1;
  if (last > 0) response.cork();
  for (const part of parts.slice(0, last)) response.write(part);
  response.end(parts[last]);
}
