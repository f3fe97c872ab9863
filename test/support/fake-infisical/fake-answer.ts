/** What the fake sends: a status and a JSON body, as recorded. */
export interface FakeAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent in place of `body`, for answers that are not JSON. */
  readonly raw?: string;
}

/** Thrown by a handler, answered by the server. */
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
