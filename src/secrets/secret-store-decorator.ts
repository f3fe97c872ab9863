import type { CallContext } from './call-context';
import type { Precondition, ScopeUsage, Secret, SecretScope, Usage } from './secret';
import {
  type ListedSecrets,
  type RetrievedSecret,
  SecretStore,
  type StoredWorkspace,
  type UsageSource,
  type UserWorkspaces,
} from './secret-store';

/** The ports that every adapter implements. */
export type StoreAdapter = SecretStore & UsageSource & UserWorkspaces;

/** A store that forwards every call to an inner store. A subclass overrides what it does differently. */
export abstract class SecretStoreDecorator extends SecretStore implements UsageSource, UserWorkspaces {
  constructor(protected readonly inner: StoreAdapter) {
    super();
  }

  create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    return this.inner.create(scope, secret, context);
  }

  retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    return this.inner.retrieve(scope, name, context);
  }

  update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    return this.inner.update(scope, secret, context, precondition);
  }

  delete(scope: SecretScope, name: string, context: CallContext, precondition?: Precondition): Promise<void> {
    return this.inner.delete(scope, name, context, precondition);
  }

  list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    return this.inner.list(scope, context);
  }

  measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage> {
    return this.inner.measure(scope, context);
  }

  sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    return this.inner.sizeOf(scope, name, context);
  }

  /** Needs no permit and no breaker: a store that would have to ask its backend returns undefined. */
  measureUser(user: string, context: CallContext): Promise<Usage | undefined> {
    return this.inner.measureUser(user, context);
  }

  requireName(name: string): void {
    this.inner.requireName(name);
  }

  workspacesOf(user: string, context: CallContext): Promise<readonly StoredWorkspace[]> {
    return this.inner.workspacesOf(user, context);
  }

  removeWorkspace(workspace: StoredWorkspace, context: CallContext): Promise<void> {
    return this.inner.removeWorkspace(workspace, context);
  }

  /** Asks whether the store itself works, not what its decorators do. */
  ping(): Promise<void> {
    return this.inner.ping();
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
