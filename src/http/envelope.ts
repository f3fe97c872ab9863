/** The form of every answer. `code` is the HTTP status; `data` of a failure is `{reason, requestId, …}`. */
export interface Envelope<T> {
  readonly code: number;
  readonly message: string;
  readonly data: T;
}

export function ok<T>(data: T): Envelope<T> {
  return { code: 200, message: '', data };
}

/** The documented success of a write. */
export const DONE: Envelope<''> = ok('');
