import { setTimeout as pause } from 'node:timers/promises';
import { TooManyRequests } from '../../src/errors/request-errors';
import type { Secret, SecretScope } from '../../src/secrets/secret';
import { SecretStore, type StoredWorkspace } from '../../src/secrets/secret-store';
import { projectSlug } from '../../src/stores/infisical/projects/project-slug';

/** Each user becomes a user of this run alone, and each workspace that was named is remembered for the clean-up. */
export class RunScopedSecretStore extends SecretStore {
  constructor(
    private readonly store: SecretStore,
    private readonly run: string,
    private readonly slugs: Set<string>,
  ) {
    super();
  }

  create(scope: SecretScope, secret: Secret): Promise<void> {
    return patiently(() => this.store.create(this.#ours(scope), secret));
  }
  retrieve(scope: SecretScope, name: string): Promise<Secret> {
    return patiently(() => this.store.retrieve(this.#ours(scope), name));
  }
  update(scope: SecretScope, secret: Secret): Promise<void> {
    return patiently(() => this.store.update(this.#ours(scope), secret));
  }
  delete(scope: SecretScope, name: string): Promise<void> {
    return patiently(() => this.store.delete(this.#ours(scope), name));
  }
  list(scope: SecretScope): Promise<readonly Secret[]> {
    return patiently(() => this.store.list(this.#ours(scope)));
  }
  workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return patiently(() => this.store.workspacesOf(`${this.run}-${user}`));
  }
  removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    return patiently(() => this.store.removeWorkspace(workspace));
  }
  ping(): Promise<void> {
    return patiently(() => this.store.ping());
  }
  close(): Promise<void> {
    return this.store.close();
  }

  #ours({ user, ...rest }: SecretScope): SecretScope {
    const scope = { user: `${this.run}-${user}`, ...rest };
    this.slugs.add(projectSlug(scope));
    return scope;
  }
}

/** What was refused for its rate was not carried out: it waits as long as the server says, and comes back. */
async function patiently<T>(operation: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error: unknown) {
      if (!(error instanceof TooManyRequests)) throw error;
      await pause((error.retryAfterSeconds + Math.random()) * 1000);
    }
  }
}
