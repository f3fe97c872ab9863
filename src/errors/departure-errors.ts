import { DomainError } from './domain-error';

/** An earlier user of that name was deleted, and some of that user's workspaces are still there. */
export class UserRemovalPending extends DomainError {
  constructor() {
    super(
      'USER_REMOVAL_PENDING',
      'The workspaces of an earlier user of that name are still being removed; try again.',
    );
  }
}
