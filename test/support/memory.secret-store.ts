import { SecretAlreadyExists, SecretNotFound } from '../../src/errors/store-errors';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeContents,
  type ScopeSource,
  SecretStore,
  sizeByRetrieving,
  type UsageSource,
  type UserWorkspaces,
} from '../../src/secrets/secret-store';
import {
  type Precondition,
  secretBytes,
  usageOf,
  type ScopeUsage,
  type Secret,
  type SecretScope,
  type Usage,
  type CallContext,
  UNATTENDED,
} from '../../src/secrets/secret';

/** A store in memory that records its calls, and can be made to fail. */
export class MemorySecretStore extends SecretStore implements ScopeSource, UsageSource, UserWorkspaces {
  readonly calls: string[] = [];
  failure: Error | undefined;
  /** Awaited by every call, so that a test can delay one. */
  gate: Promise<void> = Promise.resolve();
  private readonly workspaces = new Map<string, MemoryWorkspace>();
  private made = 0;

  async create(
    scope: SecretScope,
    { name, value }: Secret,
    _context: CallContext = UNATTENDED,
  ): Promise<void> {
    const secrets = await this.enter('create', scope);
    if (secrets.has(name)) throw new SecretAlreadyExists(name);
    secrets.set(name, value);
  }

  async retrieve(
    scope: SecretScope,
    name: string,
    _context: CallContext = UNATTENDED,
  ): Promise<RetrievedSecret> {
    const value = (await this.enter('retrieve', scope)).get(name);
    if (value === undefined) throw new SecretNotFound(name);
    return { secret: { name, value } };
  }

  async update(
    scope: SecretScope,
    { name, value }: Secret,
    _context: CallContext = UNATTENDED,
    precondition?: Precondition,
  ): Promise<void> {
    const secrets = await this.enter('update', scope);
    requireCurrent(secrets, name, precondition);
    secrets.set(name, value);
  }

  async delete(
    scope: SecretScope,
    name: string,
    _context: CallContext = UNATTENDED,
    precondition?: Precondition,
  ): Promise<void> {
    const secrets = await this.enter('delete', scope);
    requireCurrent(secrets, name, precondition);
    secrets.delete(name);
  }

  async list(scope: SecretScope, _context: CallContext = UNATTENDED): Promise<ListedSecrets> {
    const secrets = await this.enter('list', scope);
    const all = [...secrets].map(([name, value]) => ({ name, value }));
    return { secrets: all.sort((a, b) => (a.name < b.name ? -1 : 1)) };
  }

  async readScope(
    scope: SecretScope,
    _name: string,
    _ifRevision?: string,
    context: CallContext = UNATTENDED,
  ): Promise<ScopeContents | 'unchanged'> {
    return { whole: true, secrets: (await this.list(scope, context)).secrets, unreadable: new Set() };
  }

  async measure(scope: SecretScope, context: CallContext = UNATTENDED): Promise<ScopeUsage> {
    const { secrets } = await this.list(scope, context);
    return usageOf(new Map(secrets.map((secret) => [secret.name, secretBytes(secret)])));
  }

  sizeOf(scope: SecretScope, name: string, context: CallContext = UNATTENDED): Promise<number | undefined> {
    return sizeByRetrieving(this, scope, name, context);
  }

  async measureUser(_user: string, _context: CallContext = UNATTENDED): Promise<Usage | undefined> {
    return undefined;
  }

  requireName(_name: string): void {}

  async workspacesOf(user: string, _context: CallContext = UNATTENDED): Promise<readonly string[]> {
    this.calls.push(`workspacesOf ${user}`);
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    return [...this.workspaces.values()].filter(({ owner }) => owner === user).map(({ id }) => id);
  }

  async removeWorkspace(id: string, _context: CallContext = UNATTENDED): Promise<void> {
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

function requireCurrent(
  secrets: ReadonlyMap<string, string>,
  name: string,
  precondition: Precondition | undefined,
): void {
  const value = secrets.get(name);
  if (value === undefined) throw new SecretNotFound(name);
  precondition?.({ name, value });
}

interface MemoryWorkspace {
  readonly id: string;
  readonly owner: string;
  readonly scopes: Map<string, Map<string, string>>;
}
