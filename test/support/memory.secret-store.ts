import { SecretAlreadyExists, SecretNotFound } from '../../src/errors/store-errors';
import type { Secret, SecretScope } from '../../src/secrets/secret';
import { type ReadReport, SecretStore, type StoredWorkspace } from '../../src/secrets/secret-store';

/** A store in memory that records its calls, and can be made to fail. */
export class MemorySecretStore extends SecretStore {
  readonly calls: string[] = [];
  failure: Error | undefined;
  /** Awaited by every call, so that a test can delay one. */
  gate: Promise<void> = Promise.resolve();
  private readonly workspaces = new Map<string, MemoryWorkspace>();
  private made = 0;

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

  async list(scope: SecretScope, _report?: ReadReport): Promise<readonly Secret[]> {
    const secrets = await this.enter('list', scope);
    return [...secrets].map(([name, value]) => ({ name, value })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    this.calls.push(`workspacesOf ${user}`);
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    return [...this.workspaces.values()].filter(({ owner }) => owner === user).map(({ id }) => ({ id }));
  }

  async removeWorkspace({ id }: StoredWorkspace): Promise<void> {
    this.calls.push(`removeWorkspace ${id}`);
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    const [key] = [...this.workspaces].find(([, workspace]) => workspace.id === id) ?? [];
    if (key !== undefined) this.workspaces.delete(key);
  }

  async ping(): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
  }

  async close(): Promise<void> {
    this.calls.push('close');
  }

  private async enter(method: string, scope: SecretScope): Promise<Map<string, string>> {
    const { user, workspace, environment } = scope;
    this.calls.push(`${method} ${JSON.stringify([user, workspace, environment])}`);
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    const key = JSON.stringify([user, workspace]);
    const none = { id: `${(this.made += 1)}`, owner: user, scopes: new Map<string, Map<string, string>>() };
    const { scopes } = this.workspaces.get(key) ?? none;
    if (method === 'create' && !this.workspaces.has(key)) this.workspaces.set(key, none);
    const secrets = scopes.get(environment) ?? new Map<string, string>();
    scopes.set(environment, secrets);
    return secrets;
  }
}

interface MemoryWorkspace {
  readonly id: string;
  readonly owner: string;
  readonly scopes: Map<string, Map<string, string>>;
}
