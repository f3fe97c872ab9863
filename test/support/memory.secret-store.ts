import { SecretAlreadyExists, SecretNotFound } from '../../src/errors/store-errors';
import type { Secret, SecretScope } from '../../src/secrets/secret';
import { SecretStore } from '../../src/secrets/secret-store';

/** A store in memory that remembers which calls it got, and can be told to fail. */
export class MemorySecretStore extends SecretStore {
  readonly calls: string[] = [];
  failure: Error | undefined;
  /** Awaited by every call, so that a test can hold one open. */
  gate: Promise<void> = Promise.resolve();
  private readonly scopes = new Map<string, Map<string, string>>();

  async create(scope: SecretScope, { name, value }: Secret): Promise<void> {
    const secrets = await this.enter('create', scope);
    if (secrets.has(name)) throw new SecretAlreadyExists(name);
    secrets.set(name, value);
  }

  async retrieve(scope: SecretScope, name: string): Promise<Secret> {
    const value = (await this.enter('retrieve', scope)).get(name);
    if (value === undefined) throw new SecretNotFound(name);
    return { name, value };
  }

  async update(scope: SecretScope, { name, value }: Secret): Promise<void> {
    const secrets = await this.enter('update', scope);
    if (!secrets.has(name)) throw new SecretNotFound(name);
    secrets.set(name, value);
  }

  async delete(scope: SecretScope, name: string): Promise<void> {
    if (!(await this.enter('delete', scope)).delete(name)) throw new SecretNotFound(name);
  }

  async list(scope: SecretScope): Promise<readonly Secret[]> {
    const secrets = await this.enter('list', scope);
    return [...secrets].map(([name, value]) => ({ name, value })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async ping(): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
  }

  async close(): Promise<void> {
    this.calls.push('close');
  }

  private async enter(method: string, scope: SecretScope): Promise<Map<string, string>> {
    const key = JSON.stringify([scope.user, scope.workspace, scope.environment]);
    this.calls.push(`${method} ${key}`);
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    const secrets = this.scopes.get(key) ?? new Map<string, string>();
    this.scopes.set(key, secrets);
    return secrets;
  }
}
