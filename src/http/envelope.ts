import type { Reason } from '../errors/domain-error';

/** The form of every answer. `code` is the HTTP status; `data` of a failure is `{reason, requestId, …}`. */
export interface Envelope<T> {
  readonly code: number;
  readonly message: string;
  readonly data: T;
}

/** Reason and request id, and what the error names beside them. */
export interface FailureData {
  readonly reason: Reason;
  readonly requestId: string;
  readonly credential?: unknown;
}

export function ok<T>(data: T): Envelope<T> {
  return { code: 200, message: '', data };
}

/** The documented success of a write. */
export const DONE: Envelope<''> = ok('');
