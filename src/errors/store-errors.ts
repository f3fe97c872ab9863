import { DomainError } from './domain-error';
import { InvalidRequest, TooManyRequests } from './request-errors';

export class SecretNotFound extends DomainError {
  constructor(name: string) {
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

/** What the workspace holds in this environment is more than one answer may carry. */
export class ListTooLarge extends DomainError {
  constructor() {
    super(
      'LIST_TOO_LARGE',
      'The secrets of this workspace and environment are too large for one list; retrieve them by name, or delete some.',
    );
  }
}

/** The backend did not do it: nothing was changed. */
export class StoreUnavailable extends DomainError {
  constructor(message = 'The secret store is not available; try again.') {
    super('STORE_UNAVAILABLE', message);
  }
}

/** It could not be asked: what it holds, and whether we may see it, is as it was for all that we know. */
export class StoreUnreachable extends StoreUnavailable {}

/** The time of this call was up before the store could be asked: who has more time may be answered. */
export class StoreOutOfTime extends StoreUnreachable {}

/** Whether a call was given up for the sake of its own time; another one of the same kind may have more. */
export function isOutOfTime(error: unknown): boolean {
  return error instanceof StoreOutOfTime || error instanceof TooManyRequests;
}

/** Whether the store did not get to answer, or to look at the request: it said nothing about what it holds. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof StoreUnreachable || error instanceof TooManyRequests;
}

/** A write was sent and its answer never came: it may or may not have happened, and is not repeated blindly. */
export class StoreOutcomeUnknown extends DomainError {
  constructor() {
    super(
      'STORE_OUTCOME_UNKNOWN',
      'The secret store did not confirm the write; read the secret before trying again, it may have been stored.',
    );
  }
}

/** The backend wants a human to approve the write: nothing was changed yet. */
export class ApprovalRequired extends DomainError {
  constructor() {
    super('APPROVAL_REQUIRED', 'The secret store put the write before its approvers; it is not in force.');
  }
}

/** The disk has no room left but for what deletes need. Nothing was changed. */
export class StoreFull extends DomainError {
  constructor() {
    super(
      'STORE_FULL',
      'The disk of the secret store is full; nothing was stored. Secrets can still be read and deleted.',
    );
  }
}

/** The backend refuses the write as it is, and would again: nothing was changed. */
export class StoreRefused extends DomainError {
  /** @param storeMessage the backend's own words, where they are safe to show */
  constructor(storeMessage?: string) {
    super(
      'STORE_REFUSED',
      `The secret store refuses this write, and would refuse it again${storeMessage === undefined ? '.' : `: ${storeMessage}`}`,
      storeMessage === undefined ? {} : { storeMessage },
    );
  }
}

/** A limit of what may be kept, as a refusal, the metrics and the settings name it. */
export const QUOTA_LIMITS = ['workspace_secrets', 'workspace_bytes', 'user_secrets', 'user_bytes'] as const;
export type QuotaLimit = (typeof QUOTA_LIMITS)[number];

const LIMITED = {
  workspace_secrets: 'This workspace may hold no more secrets in this environment',
  workspace_bytes: 'This workspace may hold no more bytes in this environment',
  user_secrets: 'This user may hold no more secrets',
  user_bytes: 'This user may hold no more bytes',
} as const satisfies Record<QuotaLimit, string>;

/** The write would make more of what is limited: nothing was changed. */
export class QuotaExceeded extends DomainError {
  constructor(
    readonly limit: QuotaLimit,
    max: number,
    used: number,
  ) {
    super('QUOTA_EXCEEDED', `${LIMITED[limit]}; delete some, or store smaller values.`, { limit, max, used });
  }
}

/** Whether a write that failed so changed nothing, and says nothing of what the store holds. */
export function leftAsItWas(error: unknown): boolean {
  return (
    isUnreachable(error) ||
    error instanceof ApprovalRequired ||
    error instanceof StoreRefused ||
    error instanceof InvalidRequest
  );
}
