import { SecretNotFound } from '../errors/store-errors';
import type { CallContext } from '../secrets/call-context';
import type { Precondition, Secret, SecretScope } from '../secrets/secret';
import { type ListedSecrets, type RetrievedSecret, SecretStoreDecorator } from '../secrets/secret-store';

/** Tells the audit of a call what it touches. A write is sent only once its attempt is recorded. */
export class AuditedSecretStore extends SecretStoreDecorator {
  override async create(scope: SecretScope, secret: Secret, context: CallContext): Promise<void> {
    await context.audit?.writes(scope, secret.name, secret.value);
    return this.inner.create(scope, secret, context);
  }

  override async update(
    scope: SecretScope,
    secret: Secret,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await context.audit?.writes(scope, secret.name, secret.value);
    return this.inner.update(scope, secret, context, precondition);
  }

  override async delete(
    scope: SecretScope,
    name: string,
    context: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    await context.audit?.writes(scope, name);
    return this.inner.delete(scope, name, context, precondition);
  }

  override async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<RetrievedSecret> {
    context.audit?.reads(scope, name);
    try {
      const retrieved = await this.inner.retrieve(scope, name, context);
      if (retrieved.staleForMs !== undefined) context.audit?.answeredStale(retrieved.staleForMs);
      return retrieved;
    } catch (error: unknown) {
      if (error instanceof SecretNotFound && error.staleForMs !== undefined)
        context.audit?.answeredStale(error.staleForMs);
      throw error;
    }
  }

  override async list(scope: SecretScope, context: CallContext): Promise<ListedSecrets> {
    context.audit?.reads(scope);
    const listed = await this.inner.list(scope, context);
    if (listed.staleForMs !== undefined) context.audit?.answeredStale(listed.staleForMs);
    return listed;
  }
}
