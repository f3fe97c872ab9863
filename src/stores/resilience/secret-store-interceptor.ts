import type { CallContext } from '../../secrets/call-context';
import type { Precondition, ScopeUsage, Secret, SecretScope } from '../../secrets/secret';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeContents,
  type ScopeSource,
  SecretStoreDecorator,
  type StoreAdapter,
  type StoredWorkspace,
} from '../../secrets/secret-store';

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
