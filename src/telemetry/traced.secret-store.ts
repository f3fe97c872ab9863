import type { Secret, SecretScope } from '../secrets/secret';
import type { ReadReport } from '../secrets/read-report';
import { SecretStore, type StoredWorkspace } from '../secrets/secret-store';
import type { Spans } from './spans';

/** A store whose five operations are spans. What runs in the background belongs to no request and is only passed on. */
export class TracedSecretStore extends SecretStore {
  constructor(
    private readonly inner: SecretStore,
    private readonly spans: Spans,
  ) {
    super();
  }

  create(scope: SecretScope, secret: Secret): Promise<void> {
    return this.spans.during('store create', () => this.inner.create(scope, secret));
  }

  retrieve(scope: SecretScope, name: string, report?: ReadReport): Promise<Secret> {
    return this.spans.during('store retrieve', () => this.inner.retrieve(scope, name, report));
  }

  update(scope: SecretScope, secret: Secret): Promise<void> {
    return this.spans.during('store update', () => this.inner.update(scope, secret));
  }

  delete(scope: SecretScope, name: string): Promise<void> {
    return this.spans.during('store delete', () => this.inner.delete(scope, name));
  }

  list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    return this.spans.during('store list', () => this.inner.list(scope, report));
  }

  workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.inner.workspacesOf(user);
  }

  removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    return this.inner.removeWorkspace(workspace);
  }

  ping(): Promise<void> {
    return this.inner.ping();
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
