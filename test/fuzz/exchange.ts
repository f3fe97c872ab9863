import { setImmediate as nextTurn } from 'node:timers/promises';
import { openSocket } from '../support/raw-exchange';
import type { SentRequest } from './fuzzed-request';
import type { ConnectionSpec } from './request-arbitraries';

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** All that was received on one connection. */
export interface Received {
  readonly answers: readonly RawAnswer[];
  /** What follows the last whole answer. */
  readonly rest: string;
  /** False where the service kept the connection open although the client had ended it. */
  readonly isClosed: boolean;
}

/** Long enough for a loaded machine; nothing but a fault takes it. */
const ANSWER_WITHIN_MS = 20_000;
/** A request that can be read in two ways may be awaited by both sides: then the client goes, as clients do. */
const QUIET_MS = 50;

/**
 * Sends requests on one connection, and reads until they are answered or the service ends it. The connection is then ended by
 * the client too, so that a surplus answer would be seen.
 */
export async function exchange(
  url: string,
  from: string,
  spec: ConnectionSpec,
  sent: readonly SentRequest[],
): Promise<Received> {
  const socket = openSocket(url, from);
  let text = '';
  let received = answersIn('', sent);
  let [wake, isClosed] = [(): void => undefined, false];
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    received = answersIn(text, sent);
    wake();
  });
  socket.once('close', () => {
    isClosed = true;
    wake();
  });
  /** Resolves to false where the connection is closed or so much time has passed without a byte. */
  const arrives = (withinMs: number): Promise<boolean> =>
    new Promise((resolve) => {
      if (isClosed) return resolve(false);
      const timer = setTimeout(() => resolve(false), withinMs);
      wake = () => {
        clearTimeout(timer);
        resolve(!isClosed);
      };
    });
  const answered = async (count: number, withinMs: number): Promise<boolean> => {
    while (received.answers.length < count)
      if (!(await arrives(withinMs))) return received.answers.length >= count;
    return true;
  };
  const send = async (bytes: Buffer, cuts: readonly number[]): Promise<void> => {
    let begin = 0;
    for (const cut of [...cuts].sort((a, b) => a - b).map((share) => Math.floor(share * bytes.length))) {
      socket.write(bytes.subarray(begin, cut));
      begin = cut;
      await nextTurn();
      await nextTurn();
    }
    socket.write(bytes.subarray(begin));
  };
  const isPlain = sent.every((one) => one.isPlain);
  const { early } = spec;
  if (early !== undefined) {
    const bytes = Buffer.concat(sent.map((one) => one.bytes));
    await new Promise<void>((written) =>
      socket.write(bytes.subarray(0, Math.floor(early.at * bytes.length)), () => written()),
    );
    if (early.how === 'reset') socket.resetAndDestroy();
    else if (early.how === 'destroy') socket.destroy();
  } else if (spec.isPipelined) {
    await send(Buffer.concat(sent.map((one) => one.bytes)), spec.cuts);
    await answered(sent.length, isPlain ? ANSWER_WITHIN_MS : QUIET_MS);
  } else {
    for (const [at, one] of sent.entries()) {
      await send(one.bytes, spec.cuts);
      const isUnclear = sent.slice(0, at + 1).some((earlier) => !earlier.isPlain);
      if (!(await answered(at + 1, isUnclear ? QUIET_MS : ANSWER_WITHIN_MS))) break;
    }
  }
  // An end would abort a request that should not be one, and hide that it was begun.
  const mayHaveMore = !isPlain || sent.some(({ bytes }) => bytes.includes('smuggled-'));
  while (early === undefined && mayHaveMore && (await arrives(QUIET_MS)));
  socket.end();
  while (!isClosed) if (!(await arrives(ANSWER_WITHIN_MS)) && !isClosed) break;
  socket.destroy();
  return { ...received, isClosed };
}

/** Parses answers by RFC 9112, strictly: a byte that belongs to none is the rest. */
function answersIn(text: string, sent: readonly SentRequest[]): Omit<Received, 'isClosed'> {
  const answers: RawAnswer[] = [];
  for (let rest = text; ;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    const [line = '', ...fields] = rest.slice(0, Math.max(0, headEnd)).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) [ -~]*$/.exec(line)?.[1]);
    if (headEnd < 0 || Number.isNaN(status)) return { answers, rest };
    const headers = new Map(fields.map((field): [string, string] => splitField(field)));
    if (status < 200) {
      rest = rest.slice(headEnd + 4);
      continue;
    }
    // A request without a readable id is answered in its turn. What is not well-formed is not known to be a HEAD.
    const next = sent[answers.length];
    const byTurn = next?.isPlain === true ? next : undefined;
    const request = sent.find(({ id }) => id === headers.get('x-request-id')) ?? byTurn;
    const isOfHead = request?.method === 'HEAD';
    const length = isOfHead ? 0 : Number(headers.get('content-length'));
    const end = headEnd + 4 + length;
    if (!(rest.length >= end)) return { answers, rest };
    answers.push({ status, headers, body: rest.slice(headEnd + 4, end) });
    rest = rest.slice(end);
  }
}

function splitField(field: string): [string, string] {
  const at = field.indexOf(': ');
  return [field.slice(0, at).toLowerCase(), field.slice(at + 2)];
}

/** Sends bytes, and returns what comes until the service closes the connection, or is quiet. */
export function textOf(url: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = openSocket(url);
    let text = '';
    socket.setTimeout(QUIET_MS * 4, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('close', () => resolve(text));
    socket.write(Buffer.from(bytes, 'latin1'));
  });
}
