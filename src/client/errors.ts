/** The reasons of the service's failures (docs/errors.md), and three that arise on this side. */
export type Reason =
  | 'INVALID_REQUEST'
  | 'UNAUTHENTICATED'
  | 'NOT_GRANTED'
  | 'USER_MISMATCH'
  | 'SECRET_NOT_FOUND'
  | 'ROUTE_NOT_FOUND'
  | 'SECRET_ALREADY_EXISTS'
  | 'APPROVAL_REQUIRED'
  | 'PRECONDITION_FAILED'
  | 'REQUEST_TOO_LARGE'
  | 'STORE_REFUSED'
  | 'TOO_MANY_REQUESTS'
  | 'HEADERS_TOO_LARGE'
  | 'INTERNAL'
  | 'STORE_UNAVAILABLE'
  | 'STORE_OUTCOME_UNKNOWN'
  | 'GRANTS_UNAVAILABLE'
  | 'IDENTITY_UNAVAILABLE'
  | 'AUDIT_UNAVAILABLE'
  | 'OVERLOADED'
  | 'SHUTTING_DOWN'
  | 'QUOTA_EXCEEDED'
  | 'STORE_FULL'
  | 'LIST_TOO_LARGE'
  /** No connection, or the connection ended before an answer came. */
  | 'UNREACHABLE'
  /** What answered was not this service. */
  | 'NOT_UNDERSTOOD'
  /** system-server up to Olares 1.12.0 passes no ETag on, so `update(name, change)` does not work through it. */
  | 'NO_CONDITIONAL_WRITES';

/** A failed call. It has no value, token or key in it, whatever is printed of it. */
export class SecretVaultError extends Error {
  constructor(
    readonly reason: Reason,
    message: string,
    readonly details: {
      /** The HTTP status, or the envelope's code where system-server answers 200 for everything. */
      readonly status?: number;
      /** Finds the line in the service's log. */
      readonly requestId?: string;
      readonly retryAfterSeconds?: number;
      /** Of NOT_GRANTED: the line that the manifest needs, where it is a line that is missing. */
      readonly grant?: string;
    } = {},
  ) {
    super(message);
    this.name = new.target.name;
  }
}

/** There is no secret of that name in this workspace and environment. */
export class SecretNotFoundError extends SecretVaultError {}
/** A secret of that name exists already, and was left as it is. */
export class SecretAlreadyExistsError extends SecretVaultError {}
/** The secret has changed since it was read; nothing was written. */
export class PreconditionFailedError extends SecretVaultError {}
/** The app holds no grant for this operation; `details.grant` is the line that its manifest needs. Without it the workspace is another app's. */
export class NotGrantedError extends SecretVaultError {}
/** A credential is missing or was refused. */
export class UnauthenticatedError extends SecretVaultError {}
/** Too many requests, also after waiting as long as the service asked. */
export class RateLimitedError extends SecretVaultError {}
/** The service or its store cannot be asked at the moment; nothing was changed. */
export class UnavailableError extends SecretVaultError {}
/** A write was sent and not confirmed: it may or may not have happened. Read before you repeat it. */
export class OutcomeUnknownError extends SecretVaultError {}

const CLASSES: Partial<Record<Reason, typeof SecretVaultError>> = {
  SECRET_NOT_FOUND: SecretNotFoundError,
  SECRET_ALREADY_EXISTS: SecretAlreadyExistsError,
  PRECONDITION_FAILED: PreconditionFailedError,
  NOT_GRANTED: NotGrantedError,
  UNAUTHENTICATED: UnauthenticatedError,
  USER_MISMATCH: UnauthenticatedError,
  TOO_MANY_REQUESTS: RateLimitedError,
  STORE_OUTCOME_UNKNOWN: OutcomeUnknownError,
  STORE_UNAVAILABLE: UnavailableError,
  GRANTS_UNAVAILABLE: UnavailableError,
  IDENTITY_UNAVAILABLE: UnavailableError,
  AUDIT_UNAVAILABLE: UnavailableError,
  OVERLOADED: UnavailableError,
  SHUTTING_DOWN: UnavailableError,
  UNREACHABLE: UnavailableError,
};

/** Makes the error of a reason, of the class that belongs to it. */
export function errorOf(
  reason: Reason,
  message: string,
  details: SecretVaultError['details'] = {},
): SecretVaultError {
  return new (CLASSES[reason] ?? SecretVaultError)(reason, message, details);
}

/** Returns the error that ends a call, or in its place that of a write before it that may have happened. */
export function orLost(lost: OutcomeUnknownError | undefined, error: unknown): unknown {
  return error instanceof SecretVaultError ? (lost ?? error) : error;
}

export function notUnderstood(operation: string): SecretVaultError {
  return errorOf('NOT_UNDERSTOOD', `What answered ${operation} is not the secret service.`);
}

export function noConditionalWrites(): SecretVaultError {
  return errorOf('NO_CONDITIONAL_WRITES', 'Nothing between here and the service may take the ETag away.');
}

/** Returns whether the call may be made again, also a write: nothing was done, and the cause may pass. */
export function mayPass(error: unknown): error is SecretVaultError {
  return error instanceof UnavailableError || error instanceof RateLimitedError;
}

/** Returns what the answer to an operation means where it is no success. */
export function failureIn(
  { headers }: Response,
  envelope: unknown,
  status: number,
  isRead: boolean,
): SecretVaultError {
  const data = field(envelope, 'data');
  const [reason, grant, requestId] = [field(data, 'reason'), field(data, 'grant'), field(data, 'requestId')];
  const details = given({
    status,
    requestId: typeof requestId === 'string' ? requestId : (headers.get('x-request-id') ?? undefined),
    retryAfterSeconds: retryAfterSeconds(headers, data),
    grant: typeof grant === 'string' ? grant : undefined,
  });
  const message = field(envelope, 'message');
  if (typeof reason === 'string' && /^[A-Z_]{3,40}$/.test(reason))
    return errorOf(reason as Reason, typeof message === 'string' ? message : reason, details);
  // A gateway in between: it may have passed a write on.
  if (status === 429) return errorOf('TOO_MANY_REQUESTS', 'Too many requests.', details);
  if (status >= 500)
    return errorOf(
      isRead ? 'UNREACHABLE' : 'STORE_OUTCOME_UNKNOWN',
      `Something between here and the service answered ${status}.`,
      details,
    );
  return errorOf('NOT_UNDERSTOOD', `What answered (${status}) is not the secret service.`, details);
}

/**
 * Returns what the answer to a request for an access token means where it is none.
 * @param ops that were asked for; system-server names none of them, of a single one it is clear
 */
export function refusalIn({ status, headers }: Response, body: unknown, ops: readonly string[]): Error {
  const message = String(field(body, 'message'));
  const details = given({ status, retryAfterSeconds: retryAfterSeconds(headers, field(body, 'data')) });
  if (message.endsWith('belongs to another app of this user'))
    return errorOf('NOT_GRANTED', 'The workspace belongs to another app of this user.', { status });
  if (message.startsWith('permission required is not allowed')) {
    const grant = ops.find((op) => message.endsWith(op) || ops.length === 1);
    if (grant === undefined) return new UnnamedRefusal();
    return errorOf('NOT_GRANTED', 'The app holds no grant for what it asks for.', { status, grant });
  }
  if (message.includes('request time expired'))
    return errorOf('UNAUTHENTICATED', 'The clock is off by more than system-server allows.', details);
  if (field(body, 'code') === 100001 || /invalid auth token|app not found/.test(message))
    return errorOf(
      'UNAUTHENTICATED',
      "The app's key or secret was refused, or the clock is more than 10 s off.",
      details,
    );
  if (status === 429) return errorOf('TOO_MANY_REQUESTS', 'Too many requests for access tokens.', details);
  if (status >= 500)
    return errorOf('UNREACHABLE', `No access token: the service answered ${status}.`, details);
  return errorOf('NOT_UNDERSTOOD', `No access token: the answer (${status}) is not the service's.`, details);
}

/** system-server has refused a token for several operations, and does not say which of them the app does not hold. */
export class UnnamedRefusal extends Error {}

/** Returns undefined for a date, as a gateway may send it. */
function retryAfterSeconds(headers: Headers, data: unknown): number | undefined {
  const stated = Number(headers.get('retry-after') ?? NaN);
  const inBody = field(data, 'retryAfterSeconds');
  if (Number.isFinite(stated)) return stated;
  return typeof inBody === 'number' ? inBody : undefined;
}

/** Returns the fields that are there. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

export function field(object: unknown, name: string): unknown {
  return typeof object === 'object' && object !== null
    ? (object as Record<string, unknown>)[name]
    : undefined;
}
