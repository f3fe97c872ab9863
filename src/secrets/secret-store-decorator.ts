import type { Secret, SecretScope, ScopeUsage, Usage } from './secret';
import { type ReadReport, SecretStore, type ScopeContents, type StoredWorkspace } from './secret-store';

/** One call of a store, as a decorator sees it. */
export interface StoreCall {
  readonly method:
    | 'create'
    | 'retrieve'
    | 'update'
    | 'delete'
    | 'list'
    | 'readScope'
    | 'workspacesOf'
    | 'removeWorkspace'
    | 'measure';
  /** Undefined for calls that concern several scopes. */
  readonly scope?: SecretScope;
}

/** A store that forwards every call to an inner store through `intercept`. A subclass may override single methods too. */
export abstract class SecretStoreDecorator extends SecretStore {
  constructor(protected readonly inner: SecretStore) {
    super();
  }

  /** Called for each call; `next` forwards it to the inner store. */
  protected abstract intercept<T>(call: StoreCall, next: () => Promise<T>): Promise<T>;

  create(scope: SecretScope, secret: Secret): Promise<void> {
    return this.intercept({ method: 'create', scope }, () => this.inner.create(scope, secret));
  }

  retrieve(scope: SecretScope, name: string, report?: ReadReport): Promise<Secret> {
    return this.intercept({ method: 'retrieve', scope }, () => this.inner.retrieve(scope, name, report));
  }

  update(scope: SecretScope, secret: Secret): Promise<void> {
    return this.intercept({ method: 'update', scope }, () => this.inner.update(scope, secret));
  }

  delete(scope: SecretScope, name: string): Promise<void> {
    return this.intercept({ method: 'delete', scope }, () => this.inner.delete(scope, name));
  }

  list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    return this.intercept({ method: 'list', scope }, () => this.inner.list(scope, report));
  }

  override readScope(
    scope: SecretScope,
    name: string,
    ifRevision?: string,
  ): Promise<ScopeContents | 'unchanged'> {
    return this.intercept({ method: 'readScope', scope }, () =>
      this.inner.readScope(scope, name, ifRevision),
    );
  }

  override measure(scope: SecretScope): Promise<ScopeUsage> {
    return this.intercept({ method: 'measure', scope }, () => this.inner.measure(scope));
  }

  /** Is not intercepted: a store that would have to ask its backend returns undefined. */
  override measureUser(user: string): Promise<Usage | undefined> {
    return this.inner.measureUser(user);
  }

  workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.intercept({ method: 'workspacesOf' }, () => this.inner.workspacesOf(user));
  }

  removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    return this.intercept({ method: 'removeWorkspace' }, () => this.inner.removeWorkspace(workspace));
  }

  override requireName(name: string): void {
    this.inner.requireName(name);
  }

  /** Is not intercepted: it asks whether the store itself works, not what its decorators do. */
  ping(): Promise<void> {
    return this.inner.ping();
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

let currentWaitedMs = 0;

/**
 * Runs a call of the store that has already waited for `durationMs`. Only the part of the call before its first
 * await can read it, by waitedMs(): an AsyncLocalStorage would slow every promise of the process for this one number.
 */
export function afterWaiting<T>(durationMs: number, call: () => Promise<T>): Promise<T> {
  const outerMs = currentWaitedMs;
  currentWaitedMs = durationMs;
  try {
    return call();
  } finally {
    currentWaitedMs = outerMs;
  }
}

/** Returns how long a call waited before it reached the store; to be called before the call's first await. */
export function waitedMs(): number {
  return currentWaitedMs;
}
