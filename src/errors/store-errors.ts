import { DomainError, fixedError } from './domain-error';
import { ClientGone, InvalidRequest, TooManyRequests } from './request-errors';

export class SecretNotFound extends DomainError {
  /** @param staleForMs the age of the cached answer that says so, where the backend could not be asked */
  constructor(
    name: string,
    readonly staleForMs?: number,
  ) {
    super('SECRET_NOT_FOUND', 'There is no secret of that name in this workspace and environment.', { name });
  }
}

export class SecretAlreadyExists extends DomainError {
  constructor(name: string) {
    super('SECRET_ALREADY_EXISTS', 'A secret of that name exists already; its value was left as it is.', {
      name,
    });
  }
}

/** The secret is not the one of the caller's `If-Match` any more (RFC 9110, section 13.1.1); nothing was changed. */
export class PreconditionFailed extends DomainError {
  constructor(name: string) {
    super(
      'PRECONDITION_FAILED',
      'The secret has changed since it was read, so nothing was written; read it again.',
      { name },
    );
  }
}

/** The secrets of the workspace in this environment are larger than one answer may be. */
export class ListTooLarge extends fixedError(
  'LIST_TOO_LARGE',
  'The secrets of this workspace and environment are too large for one list; retrieve them by name, or delete some.',
) {}

/** The backend failed, and nothing was changed. */
export class StoreUnavailable extends DomainError {
  constructor(message = 'The secret store is not available; try again.') {
    super('STORE_UNAVAILABLE', message);
  }
}

/** The backend could not be asked, so nothing is known of its state; what a cache holds may still be current. */
export class StoreUnreachable extends StoreUnavailable {}

/** Others wrote to the same workspace and environment for as long as the call could wait; nothing was changed, and it says nothing about the backend. */
export class ScopeBusy extends StoreUnavailable {
  constructor() {
    super('Others write to this workspace all the time; nothing was changed. Try again.');
  }
}

/** The call's deadline passed before the store could be asked; a call with more time may succeed. */
export class StoreOutOfTime extends StoreUnreachable {}

/** Returns whether a call failed by its own deadline or wait, so that others that wait for the same answer may succeed. */
export function isOwnToTheCall(error: unknown): boolean {
  return error instanceof StoreOutOfTime || error instanceof TooManyRequests;
}

/** Returns whether the store did not process the request: no answer, 429, or our own queue is full. What it held before may still be so. */
export function mayServeStaleAfter(error: unknown): boolean {
  return error instanceof StoreUnreachable || error instanceof TooManyRequests;
}

/** Returns whether the store itself refused a read, so that what it answered before does not count any more. */
export function isRefusedRead(error: unknown): boolean {
  return error instanceof ListTooLarge || (error instanceof StoreUnavailable && !mayServeStaleAfter(error));
}

/** A write was sent and no answer came: it may or may not have happened, and must not be repeated blindly. */
export class StoreOutcomeUnknown extends fixedError(
  'STORE_OUTCOME_UNKNOWN',
  'The secret store did not confirm the write; read the secret before trying again, it may have been stored.',
) {}

/** A write was sent, or a grant or a user changed, and the audit trail took the attempt but not the outcome: the caller is not told how it ended. */
export class WriteNotAudited extends fixedError(
  'STORE_OUTCOME_UNKNOWN',
  'The audit trail did not take the record of how this ended: it may have been done; read what there is before trying again.',
) {}

/** A human must approve the write at the backend; nothing was changed yet. */
export class ApprovalRequired extends fixedError(
  'APPROVAL_REQUIRED',
  'The secret store put the write before its approvers; it is not in force.',
) {}

/** The disk is full except for the reserve that deletes need; nothing was changed. */
export class StoreFull extends fixedError(
  'STORE_FULL',
  'The disk of the secret store is full; nothing was stored. Secrets can still be read and deleted.',
) {}

/** The backend refuses the write and would refuse it again; nothing was changed. */
export class StoreRefused extends DomainError {
  /** @param storeMessage the backend's own message, where it is safe to show */
  constructor(storeMessage?: string) {
    super(
      'STORE_REFUSED',
      `The secret store refuses this write, and would refuse it again${storeMessage === undefined ? '.' : `: ${storeMessage}`}`,
      storeMessage === undefined ? {} : { storeMessage },
    );
  }
}

/** The quotas, by their names in refusals and metrics. */
export const QUOTA_LIMITS = ['workspace_secrets', 'workspace_bytes', 'user_secrets', 'user_bytes'] as const;
export type QuotaLimit = (typeof QUOTA_LIMITS)[number];

const LIMITED = {
  workspace_secrets: 'This workspace may hold no more secrets in this environment',
  workspace_bytes: 'This workspace may hold no more bytes in this environment',
  user_secrets: 'This user may hold no more secrets',
  user_bytes: 'This user may hold no more bytes',
} as const satisfies Record<QuotaLimit, string>;

/** The write would exceed a quota; nothing was changed. */
export class QuotaExceeded extends DomainError {
  constructor(
    readonly limit: QuotaLimit,
    max: number,
    used: number,
  ) {
    super('QUOTA_EXCEEDED', `${LIMITED[limit]}; delete some, or store smaller values.`, { limit, max, used });
  }
}

/** Returns whether a write that failed with this error changed nothing and says nothing about what the store holds. */
export function leftAsItWas(error: unknown): boolean {
  return (
    mayServeStaleAfter(error) ||
    error instanceof ScopeBusy ||
    error instanceof ListTooLarge ||
    error instanceof ClientGone ||
    error instanceof ApprovalRequired ||
    error instanceof StoreRefused ||
    error instanceof InvalidRequest
  );
}
