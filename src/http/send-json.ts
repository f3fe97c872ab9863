import type { ServerResponse } from 'node:http';

/** How long a client is waited for before its connection is cut. */
export interface AnswerTimeouts {
  /** While it takes nothing of an answer; node:http counts each byte that leaves as progress. */
  readonly stalledMs: number;
  /** Until it has taken all of a large answer, however steadily it drips. */
  readonly largeMs: number;
}

const TIMEOUTS: AnswerTimeouts = { stalledMs: 30_000, largeMs: 120_000 };

/** Ends an answer with a small body; Express's own way writes head and body apart and looks at what no client of ours sends. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  end(response, status, [JSON.stringify(body)], TIMEOUTS);
}

/** Ends an answer with a large body, as bytes: as a string, Node would hold it several times over until the client has read it. */
export function sendLargeJson(
  response: ServerResponse,
  status: number,
  chunks: readonly Buffer[],
  timeouts = TIMEOUTS,
): void {
  const overdue = setTimeout(() => response.destroy(), timeouts.largeMs).unref();
  response.once('close', () => clearTimeout(overdue));
  end(response, status, chunks, timeouts);
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
  response.socket?.setTimeout(stalledMs);
  const last = parts.length - 1;
  if (last > 0) response.cork();
  for (const part of parts.slice(0, last)) response.write(part);
  response.end(parts[last]);
}
