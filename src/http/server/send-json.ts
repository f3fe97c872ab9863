import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
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

/** Ends an answer with a small body. Express would write head and body separately, and read headers that no client of ours sends. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  end(response, status, [JSON.stringify(body)], TIMEOUTS);
}

/**
 * Ends an answer with a large body, as bytes: Node would hold a string several times until the client has read it. The
 * answer is the last one of its connection, which stays open until the client closes it: only that shows that the client
 * has read all of it, and that the operating system no longer buffers any of it.
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
  // Node would destroy the socket here, while the operating system still sends.
  socket.destroySoon = () => {
    socket.setTimeout(0).end();
    clearTimeout(overdue);
    overdue = setTimeout(() => cut(socket), timeouts.closeMs).unref();
  };
  end(response, status, chunks, timeouts);
}

/** Closes a connection with a reset, so that the operating system discards what the client has not read. */
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
