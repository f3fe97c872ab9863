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
      /** Of NOT_GRANTED: the line that the manifest needs. */
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
/** The app holds no grant for this operation; `details.grant` is the line that its manifest needs. */
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

/** Returns whether the call may be made again, also a write: nothing was done, and the cause may pass. */
export function mayPass(error: unknown): error is SecretVaultError {
  return error instanceof UnavailableError || error instanceof RateLimitedError;
}
