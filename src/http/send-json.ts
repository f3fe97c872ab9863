import type { ServerResponse } from 'node:http';

/** A longer text is written as bytes: as a string, Node would hold it several times over until the client has read it. */
const MAX_WRITTEN_AS_TEXT = 16 * 1024;

/** Ends an answer with a body; Express's own way writes head and body apart and looks at what no client of ours sends. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  const written = text.length > MAX_WRITTEN_AS_TEXT ? Buffer.from(text) : text;
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(written));
  response.end(written);
}
