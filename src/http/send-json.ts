import type { ServerResponse } from 'node:http';

/** Ends an answer with a body; Express's own way writes head and body apart and looks at what no client of ours sends. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}
