import { setTimeout as pause } from 'node:timers/promises';
import { TooManyRequests } from '../../src/errors/request-errors';
import type { Precondition, Secret, SecretScope, CallContext } from '../../src/secrets/secret';
import {
  type ListedSecrets,
  type RetrievedSecret,
  SecretStoreDecorator,
  type CompleteSecretStore,
} from '../../src/secrets/secret-store';
import { projectSlug } from '../../src/stores/infisical/projects/project-slug';

/** Each user becomes a user of this run alone, and each workspace that was named is remembered for the clean-up. */
export class RunScopedSecretStore extends SecretStoreDecorator {
  constructor(
    store: CompleteSecretStore,
    private readonly run: string,
    private readonly slugs: Set<string>,
  ) {
    super(store);
  }

  override create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    return patiently(() => this.inner.create(this.#ours(scope), secret, context));
  }
  override retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    return patiently(() => this.inner.retrieve(this.#ours(scope), name, context));
  }
  override update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    return patiently(() => this.inner.update(this.#ours(scope), secret, context, precondition));
  }
  override delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    return patiently(() => this.inner.delete(this.#ours(scope), name, context, precondition));
  }
  override list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    return patiently(() => this.inner.list(this.#ours(scope), context));
  }
  override workspacesOf(user: string, context: CallContext): Promise<readonly string[]> {
    return patiently(() => this.inner.workspacesOf(`${this.run}-${user}`, context));
  }
  override removeWorkspace(id: string, context: CallContext): Promise<void> {
    return patiently(() => this.inner.removeWorkspace(id, context));
  }
  override ping(): Promise<void> {
    return patiently(() => this.inner.ping());
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
