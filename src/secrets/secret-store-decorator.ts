import type { CallContext } from './call-context';
import type { Precondition, ScopeUsage, Secret, SecretScope, Usage } from './secret';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeContents,
  type ScopeSource,
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

/** A decorator that does the same with each call of the backend, whatever it asks for: a subclass says what. */
export abstract class SecretStoreInterceptor extends SecretStoreDecorator implements ScopeSource {
  constructor(protected override readonly inner: StoreAdapter & ScopeSource) {
    super(inner);
  }

  /** Makes the call, or refuses it. @param scope undefined where the call concerns all workspaces */
  protected abstract intercept<T>(
    call: () => Promise<T>,
    context: CallContext,
    scope?: SecretScope,
  ): Promise<T>;

  override create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    return this.intercept(() => this.inner.create(scope, secret, context), context, scope);
  }

  override retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    return this.intercept(() => this.inner.retrieve(scope, name, context), context, scope);
  }

  override update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    return this.intercept(() => this.inner.update(scope, secret, context, precondition), context, scope);
  }

  override delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    return this.intercept(() => this.inner.delete(scope, name, context, precondition), context, scope);
  }

  override list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    return this.intercept(() => this.inner.list(scope, context), context, scope);
  }

  readScope(
    scope: SecretScope,
    name: string,
    ifRevision: string | undefined,
    context: CallContext,
  ): Promise<ScopeContents | 'unchanged'> {
    return this.intercept(() => this.inner.readScope(scope, name, ifRevision, context), context, scope);
  }

  override measure(scope: SecretScope, context: CallContext): Promise<ScopeUsage> {
    return this.intercept(() => this.inner.measure(scope, context), context, scope);
  }

  override sizeOf(scope: SecretScope, name: string, context: CallContext): Promise<number | undefined> {
    return this.intercept(() => this.inner.sizeOf(scope, name, context), context, scope);
  }

  override workspacesOf(user: string, context: CallContext): Promise<readonly StoredWorkspace[]> {
    return this.intercept(() => this.inner.workspacesOf(user, context), context);
  }

  override removeWorkspace(workspace: StoredWorkspace, context: CallContext): Promise<void> {
    return this.intercept(() => this.inner.removeWorkspace(workspace, context), context);
  }
}
