import { relative, resolve } from 'node:path';

/** Every reason a request can fail for, and its HTTP status, which is also the envelope's `code`. */
export const STATUS_OF = {
  INVALID_REQUEST: 400,
  UNAUTHENTICATED: 401,
  NOT_GRANTED: 403,
  USER_MISMATCH: 403,
  NOT_SETTINGS_APP: 403,
  CROSS_SITE_REQUEST: 403,
  SECRET_NOT_FOUND: 404,
  ROUTE_NOT_FOUND: 404,
  SECRET_ALREADY_EXISTS: 409,
  APPROVAL_REQUIRED: 409,
  PRECONDITION_FAILED: 412,
  REQUEST_TOO_LARGE: 413,
  STORE_REFUSED: 422,
  TOO_MANY_REQUESTS: 429,
  HEADERS_TOO_LARGE: 431,
  CLIENT_GONE: 499,
  INTERNAL: 500,
  STORE_UNAVAILABLE: 503,
  STORE_OUTCOME_UNKNOWN: 503,
  GRANTS_UNAVAILABLE: 503,
  IDENTITY_UNAVAILABLE: 503,
  USER_REMOVAL_PENDING: 503,
  AUDIT_UNAVAILABLE: 503,
  NOT_READY: 503,
  OVERLOADED: 503,
  SHUTTING_DOWN: 503,
  QUOTA_EXCEEDED: 507,
  STORE_FULL: 507,
  LIST_TOO_LARGE: 507,
} as const satisfies Record<string, number>;

export type Reason = keyof typeof STATUS_OF;

/** The fields of a failure beside its reason: names and rules, never a value, token or key. */
type ErrorDetails = Readonly<Record<string, string | number | readonly string[]>>;

/** The only kind of error whose text reaches a caller: one sentence that is safe to show. A foreign error never becomes its `cause`. */
export class DomainError extends Error {
  constructor(
    readonly reason: Reason,
    message: string,
    readonly details: ErrorDetails = {},
  ) {
    super(message);
    this.name = new.target.name;
  }

  get status(): number {
    return STATUS_OF[this.reason];
  }
}

/** Returns the base of an error that is always told in the same words. */
export function fixedError(reason: Reason, message: string, details?: ErrorDetails) {
  return class extends DomainError {
    constructor() {
      super(reason, message, details);
    }
  };
}

const ERROR_CODE = /^[A-Za-z0-9_]{1,64}$/;

/** Returns the `code` of a foreign error, e.g. ENOENT or an SQLSTATE, which may be shown; undefined where it is no word. */
export function errorCodeOf(error: unknown): string | undefined {
  const { code } = Object(error) as { readonly code?: unknown };
  return typeof code === 'string' && ERROR_CODE.test(code) ? code : undefined;
}

const ROOT = resolve(__dirname, '../..');
const MAX_POSITIONS = 8;
/** The end of a line of a stack: a file with line and column. */
const POSITION = /^ {4}at .*?\(?(?:file:\/\/)?((?:\/|node:)[\w@./+-]+:\d+:\d+)\)?$/;

/**
 * Returns all that may be shown of an error that is no DomainError: its class, and where it was thrown. Its message and its properties may
 * contain anything, also lines like those of a stack; so a position counts only in our own folder or within Node.
 */
export function traceOf(thrown: unknown): { readonly errorClass: string; readonly at: readonly string[] } {
  if (!(thrown instanceof Error)) return { errorClass: typeof thrown, at: [] };
  const lines = String(thrown.stack).split('\n').slice(String(thrown).split('\n').length);
  const at = lines
    .map((line) => POSITION.exec(line)?.[1])
    .filter((position) => position !== undefined)
    .map((position) => (position.startsWith(`${ROOT}/`) ? relative(ROOT, position) : position))
    .filter((position) => !position.startsWith('/'));
  return { errorClass: thrown.constructor.name, at: at.slice(0, MAX_POSITIONS) };
}
