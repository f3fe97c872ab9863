import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { discardBody } from './request-bodies';

/** How long a client is waited for before its connection is cut. */
export interface AnswerTimeouts {
  /** While it takes nothing of an answer; node:http counts each byte that leaves as progress. */
  readonly stalledMs: number;
  /** Until it has taken all of a large answer, however steadily it drips. */
  readonly largeMs: number;
  /** Until it closes its side, once all of a large answer lies with the operating system. */
  readonly closeMs: number;
}

const TIMEOUTS: AnswerTimeouts = { stalledMs: 30_000, largeMs: 120_000, closeMs: 30_000 };

/** Ends an answer with a small body; Express's own way writes head and body apart and looks at what no client of ours sends. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  end(response, status, [JSON.stringify(body)], TIMEOUTS);
}

/**
 * Ends an answer with a large body, as bytes: as a string, Node would hold it several times over until the client has read
 * it. It is the last one of its connection, which stays open until the client closes it: that alone tells that the client
 * has taken all of it, and that the operating system holds nothing of it for us any more.
 */
export function sendLargeJson(
  response: ServerResponse,
  status: number,
  chunks: readonly Buffer[],
  timeouts = TIMEOUTS,
): void {
  const { socket } = response.req;
  let overdue = setTimeout(() => cut(socket), timeouts.largeMs).unref();
  socket.once('close', () => clearTimeout(overdue));
  response.setHeader('Connection', 'close');
  // Node would let go of the socket, and the operating system go on alone.
  socket.destroySoon = () => {
    socket.setTimeout(0).end();
    clearTimeout(overdue);
    overdue = setTimeout(() => cut(socket), timeouts.closeMs).unref();
  };
  end(response, status, chunks, timeouts);
}

/** With a reset, upon which the operating system throws away what the client has not taken. */
function cut(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}

function end(
  response: ServerResponse,
  status: number,
  parts: readonly (string | Buffer)[],
  { stalledMs }: AnswerTimeouts,
): void {
  const length = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', length);
  if (!response.req.complete) void discardBody(response.req);
  response.socket?.setTimeout(stalledMs);
  response.once('timeout', cut);
  const last = parts.length - 1;
  if (last > 0) response.cork();
  for (const part of parts.slice(0, last)) response.write(part);
  response.end(parts[last]);
}
