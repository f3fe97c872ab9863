import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** An answer of the fake: a status and a JSON body, as recorded. */
export interface FakeAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent in place of `body`, for answers that are not JSON. */
  readonly raw?: string;
}

/** Thrown by a handler; the server sends its answer. */
export class FakeRefusal extends Error {
  constructor(readonly answer: FakeAnswer) {
    super(`refused with ${answer.status}`);
  }
}

export function failureAnswer(
  status: number,
  error: string,
  message: unknown,
  more: Record<string, unknown> = {},
): FakeAnswer {
  return { status, body: { statusCode: status, message, error, ...more } };
}

/** Newer servers add the request id to each refusal, except that of an unknown route. */
export function withRequestId(answer: FakeAnswer): FakeAnswer {
  const body = answer.body as { statusCode?: unknown; error?: unknown } | null;
  if (answer.status < 400 || body?.statusCode === undefined || body.error === 'Not Found') return answer;
  return { ...answer, body: { reqId: `req-${randomBytes(7).toString('hex')}`, ...body } };
}

/** The servers send an ETag with the 200 of every GET, and answer 304 where the client has it already. */
export function withEntityTag({ method, headers }: IncomingMessage, answer: FakeAnswer): FakeAnswer {
  if (method !== 'GET' || answer.status !== 200) return answer;
  const etag = `"${createHash('sha1')
    .update(answer.raw ?? JSON.stringify(answer.body))
    .digest('base64')}"`;
  const tagged = { ...answer, headers: { ...answer.headers, etag } };
  return headers['if-none-match'] === etag ? { ...tagged, status: 304, raw: '' } : tagged;
}
