import type {
  ScopeContents,
  ScopeSource,
  SecretStore,
  CompleteSecretStore,
} from '../../src/secrets/secret-store';
import {
  type Precondition,
  type ScopeUsage,
  type Secret,
  type SecretScope,
  type Usage,
  UNATTENDED,
} from '../../src/secrets/secret';

/** A store that an adapter of its own stands behind: it implements the ports of quotas and removals too. */
type Whole = StoreClient<CompleteSecretStore & Partial<ScopeSource>>;

/** Calls a store as somebody does who waits as long as it takes, and wants nothing but the secrets. */
export class StoreClient<
  S extends SecretStore & { problems?(): readonly string[] } = CompleteSecretStore & Partial<ScopeSource>,
> {
  constructor(readonly store: S) {}

  create(scope: SecretScope, secret: Secret): Promise<void> {
    return this.store.create(scope, secret, UNATTENDED);
  }
  async retrieve(scope: SecretScope, name: string): Promise<Secret> {
    return (await this.store.retrieve(scope, name, UNATTENDED)).secret;
  }
  update(scope: SecretScope, secret: Secret, precondition?: Precondition): Promise<void> {
    return this.store.update(scope, secret, UNATTENDED, precondition);
  }
  delete(scope: SecretScope, name: string, precondition?: Precondition): Promise<void> {
    return this.store.delete(scope, name, UNATTENDED, precondition);
  }
  async list(scope: SecretScope): Promise<readonly Secret[]> {
    return (await this.store.list(scope, UNATTENDED)).secrets;
  }
  async readScope(
    this: Whole,
    scope: SecretScope,
    name: string,
    ifRevision?: string,
  ): Promise<ScopeContents | 'unchanged' | undefined> {
    return this.store.readScope?.(scope, name, ifRevision, UNATTENDED);
  }
  measure(this: Whole, scope: SecretScope): Promise<ScopeUsage> {
    return this.store.measure(scope, UNATTENDED);
  }
  sizeOf(this: Whole, scope: SecretScope, name: string): Promise<number | undefined> {
    return this.store.sizeOf(scope, name, UNATTENDED);
  }
  measureUser(this: Whole, user: string): Promise<Usage | undefined> {
    return this.store.measureUser(user, UNATTENDED);
  }
  workspacesOf(this: Whole, user: string): Promise<readonly string[]> {
    return this.store.workspacesOf(user, UNATTENDED);
  }
  removeWorkspace(this: Whole, id: string): Promise<void> {
    return this.store.removeWorkspace(id, UNATTENDED);
  }
  ping(): Promise<void> {
    return this.store.ping();
  }
  problems(): readonly string[] {
    return this.store.problems?.() ?? [];
  }
  close(): Promise<void> {
    return this.store.close();
  }
}
