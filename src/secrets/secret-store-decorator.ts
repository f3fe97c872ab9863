import { type ReadReport, SecretStore, type ScopeContents, type StoredWorkspace } from './secret-store';
import type { Secret, SecretScope, ScopeUsage, Usage } from './secret';

let waitedByNow = 0;

/**
 * Runs a call of the store that has waited so long for its turn, in milliseconds. Only what the call does before it first
 * awaits is told of it: an AsyncLocalStorage would cost each promise of the process, for one number that is wanted at once.
 */
export function afterWaiting<T>(waitedMs: number, call: () => Promise<T>): Promise<T> {
  const outer = waitedByNow;
  waitedByNow = waitedMs;
  try {
    return call();
  } finally {
    waitedByNow = outer;
  }
}

/** How much of its time a call of the store has spent before it reached the store; to be asked when the call begins. */
export function waitedMs(): number {
  return waitedByNow;
}

/** One call of a store, for who stands around it. */
export interface StoreCall {
  readonly method:
    | 'create'
    | 'retrieve'
    | 'update'
    | 'delete'
    | 'list'
    | 'lookUp'
    | 'workspacesOf'
    | 'removeWorkspace'
    | 'measure';
  /** Undefined for what goes over several scopes. */
  readonly scope?: SecretScope;
}

/** A store around another: everything is passed on, within what `around` does. What does more overrides more. */
export abstract class SecretStoreDecorator extends SecretStore {
  constructor(protected readonly inner: SecretStore) {
    super();
  }

  protected abstract around<T>(call: StoreCall, pass: () => Promise<T>): Promise<T>;

  create(scope: SecretScope, secret: Secret): Promise<void> {
    return this.around({ method: 'create', scope }, () => this.inner.create(scope, secret));
  }

  retrieve(scope: SecretScope, name: string, report?: ReadReport): Promise<Secret> {
    return this.around({ method: 'retrieve', scope }, () => this.inner.retrieve(scope, name, report));
  }

  update(scope: SecretScope, secret: Secret): Promise<void> {
    return this.around({ method: 'update', scope }, () => this.inner.update(scope, secret));
  }

  delete(scope: SecretScope, name: string): Promise<void> {
    return this.around({ method: 'delete', scope }, () => this.inner.delete(scope, name));
  }

  list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    return this.around({ method: 'list', scope }, () => this.inner.list(scope, report));
  }

  override readScope(scope: SecretScope, name: string, known?: string): Promise<ScopeContents | 'unchanged'> {
    return this.around({ method: 'lookUp', scope }, () => this.inner.readScope(scope, name, known));
  }

  override measure(scope: SecretScope): Promise<ScopeUsage> {
    return this.around({ method: 'measure', scope }, () => this.inner.measure(scope));
  }

  /** Not within `around`: a store that would have to ask for it has no answer. */
  override measureUser(user: string): Promise<Usage | undefined> {
    return this.inner.measureUser(user);
  }

  workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.around({ method: 'workspacesOf' }, () => this.inner.workspacesOf(user));
  }

  removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    return this.around({ method: 'removeWorkspace' }, () => this.inner.removeWorkspace(workspace));
  }

  override requireName(name: string): void {
    this.inner.requireName(name);
  }

  /** Whether the store works is asked of it, and not of who stands around it. */
  ping(): Promise<void> {
    return this.inner.ping();
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
