import { DomainError } from './domain-error';

/** Workspaces of an earlier, deleted user of that name still exist. */
export class UserRemovalPending extends DomainError {
  constructor() {
    super(
      'USER_REMOVAL_PENDING',
      'The workspaces of an earlier user of that name are still being removed; try again.',
    );
  }
}

/** A field breaks a rule; the message names both, never the value. */
export class InvalidRequest extends DomainError {
  constructor(field: string, rule: string) {
    super('INVALID_REQUEST', `${field}: ${rule}`, { field, rule });
  }
}

export class RequestTooLarge extends DomainError {
  constructor(maxBytes: number) {
    super('REQUEST_TOO_LARGE', `The request body is larger than ${maxBytes} bytes.`, { maxBytes });
  }
}

export class HeadersTooLarge extends DomainError {
  constructor() {
    super('HEADERS_TOO_LARGE', 'The request has more than 100 headers, or more than 16 KiB of them.');
  }
}

export class RouteNotFound extends DomainError {
  constructor() {
    super('ROUTE_NOT_FOUND', 'There is no such route; the operations are POST /<Op>?workspace=<name>.');
  }
}

export class TooManyRequests extends DomainError {
  constructor(readonly retryAfterSeconds: number) {
    super('TOO_MANY_REQUESTS', `Too many requests; try again in ${retryAfterSeconds} s.`, {
      retryAfterSeconds,
    });
  }
}

export class ShuttingDown extends DomainError {
  constructor() {
    super('SHUTTING_DOWN', 'This instance is shutting down; try again.');
  }
}

/** The request was refused before anything was done for it, so that the requests in flight can finish. */
export class Overloaded extends DomainError {
  constructor() {
    super('OVERLOADED', 'This instance has more to do than it can at the moment; try again.');
  }
}

/** The client closed its connection before anything was done, so this error is only logged. */
export class ClientGone extends DomainError {
  constructor() {
    super('CLIENT_GONE', 'The client closed its connection.');
  }
}

/** The audit trail did not take the record of the operation. Nothing was read for the caller, and nothing was changed. */
export class AuditUnavailable extends DomainError {
  constructor() {
    super(
      'AUDIT_UNAVAILABLE',
      'The audit trail cannot take a record of this operation, so it is refused; try again.',
    );
  }
}
