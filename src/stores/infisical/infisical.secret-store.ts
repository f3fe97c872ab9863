import { SecretNotFound } from '../../errors/store-errors';
import type { LogEvent } from '../../logging/log';
import {
  type Precondition,
  type ScopeUsage,
  type Secret,
  type SecretScope,
  usageOf,
  type CallContext,
} from '../../secrets/secret';
import {
  type ListedSecrets,
  type RetrievedSecret,
  type ScopeContents,
  type ScopeSource,
  SecretStore,
  sizeByRetrieving,
  type UsageSource,
  type UserWorkspaces,
} from '../../secrets/secret-store';
import { distinctRows, preferredRow, type ProjectEnvironment } from './api/secret-calls';
import type { Operations, PingProbe } from './operations';
import type { ProjectDirectory } from './projects/project-directory';
import type { UserProjects } from './projects/user-projects';
import { rowsIn, type ScopeReader } from './scope-reader';
import {
  requireHoldableName,
  bytesOfRow,
  encodeValue,
  readableSecret,
  readableSecrets,
} from './secret-codec';
import type { SecretWriter } from './secret-writer';
import { failedBecause } from './versions/infisical-call-failed';

export interface InfisicalStoreDeps {
  readonly projects: ProjectDirectory;
  readonly reader: ScopeReader;
  readonly writer: SecretWriter;
  readonly users: UserProjects;
  readonly probe: PingProbe;
  readonly close: () => void;
}

/** Stores the secrets of each user and workspace in an Infisical project of their own. */
export class InfisicalSecretStore extends SecretStore implements ScopeSource, UsageSource, UserWorkspaces {
  constructor(
    private readonly deps: InfisicalStoreDeps,
    private readonly operations: Operations,
    private readonly log: LogEvent,
  ) {
    super();
  }

  async create(scope: SecretScope, { name, value }: Secret, caller: CallContext): Promise<void> {
    requireHoldableName(name);
    const stored = encodeValue(value);
    const { projects, reader, writer } = this.deps;
    await this.operations.writeSerialized(scope, caller, async (context) => {
      await reader.withResolvedProject(scope, async () => {
        const project = await projects.provision(scope, scope.environment, context);
        const location = { projectId: project.id, environment: scope.environment };
        const create = () => writer.create(location, { name, stored }, context);
        await projects.firstOrAfter(project.id, create, context);
      });
    });
  }

  async retrieve(scope: SecretScope, name: string, caller: CallContext): Promise<RetrievedSecret> {
    requireHoldableName(name);
    const read = await this.deps.reader
      .readScope(scope, name, this.operations.begin(caller))
      .catch(this.operations.fail);
    const row = preferredRow(rowsIn(read, name));
    if (row === undefined) throw new SecretNotFound(name);
    return { secret: readableSecret(row, this.log) };
  }

  async update(
    scope: SecretScope,
    { name, value }: Secret,
    caller: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    requireHoldableName(name);
    const stored = encodeValue(value);
    const { reader, writer } = this.deps;
    await this.#write(scope, name, caller, async (location, context) => {
      await this.#require(location, name, context, precondition);
      const rowCount = await reader.countRows(location, name, context);
      if (rowCount === 0) throw new SecretNotFound(name);
      await writer.update(location, { name, stored }, rowCount, context);
    });
  }

  async delete(
    scope: SecretScope,
    name: string,
    caller: CallContext,
    precondition?: Precondition,
  ): Promise<void> {
    requireHoldableName(name);
    await this.#write(scope, name, caller, async (location, context) => {
      await this.#require(location, name, context, precondition);
      await this.deps.writer.delete(location, name, context);
    });
  }

  async list(scope: SecretScope, caller: CallContext): Promise<ListedSecrets> {
    const read = await this.deps.reader
      .readScope(scope, undefined, this.operations.begin(caller))
      .catch(this.operations.fail);
    const { secrets, unreadable } = readableSecrets(distinctRows(rowsIn(read)), this.log);
    return { secrets, ...(unreadable.size > 0 && { unreadable: [...unreadable] }) };
  }

  async readScope(
    scope: SecretScope,
    name: string,
    ifRevision: string | undefined,
    caller: CallContext,
  ): Promise<ScopeContents | 'unchanged'> {
    const read = await this.deps.reader
      .readScope(scope, name, this.operations.begin(caller), ifRevision)
      .catch(this.operations.fail);
    if (read === 'unchanged') return read;
    const { rows, ...extent } = read;
    return { ...extent, ...readableSecrets(distinctRows(rows)) };
  }

  /** Values that cannot be read count with the size in which they are stored. */
  async measure(scope: SecretScope, caller: CallContext): Promise<ScopeUsage> {
    const read = await this.deps.reader
      .readScope(scope, undefined, this.operations.begin(caller))
      .catch(this.operations.fail);
    return usageOf(new Map(distinctRows(rowsIn(read)).map((row) => [row.name, bytesOfRow(row)])));
  }

  sizeOf(scope: SecretScope, name: string, caller: CallContext): Promise<number | undefined> {
    return sizeByRetrieving(this, scope, name, caller);
  }

  /** Infisical does not tell it without being asked scope by scope. */
  measureUser(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  requireName(name: string): void {
    requireHoldableName(name);
  }

  async workspacesOf(user: string, caller: CallContext): Promise<readonly string[]> {
    return this.deps.users.of(user, this.operations.begin(caller)).catch(this.operations.fail);
  }

  async removeWorkspace(id: string, caller: CallContext): Promise<void> {
    return this.operations.write(caller, (context) => this.deps.users.remove(id, context));
  }

  async ping(): Promise<void> {
    await this.deps.probe.ping();
  }

  /** Returns one sentence for each problem that an operator should fix although this store is ready. */
  problems(): readonly string[] {
    return this.deps.projects.problems();
  }

  async close(): Promise<void> {
    this.deps.close();
    return Promise.resolve();
  }

  /** Reads the secret, within the lock of its scope, and checks it. @throws SecretNotFound, PreconditionFailed */
  async #require(
    location: ProjectEnvironment,
    name: string,
    context: CallContext,
    precondition: Precondition | undefined,
  ): Promise<void> {
    if (precondition === undefined) return;
    const row = preferredRow(await this.deps.reader.retrieveFrom(location, name, context));
    if (row === undefined) throw new SecretNotFound(name);
    precondition(readableSecret(row, this.log));
  }

  /** Writes to a secret that the server must have. @throws SecretNotFound also where its project or environment is gone */
  #write(
    scope: SecretScope,
    name: string,
    caller: CallContext,
    write: (location: ProjectEnvironment, context: CallContext) => Promise<void>,
  ): Promise<void> {
    const { reader } = this.deps;
    return this.operations.writeSerialized(scope, caller, async (context) => {
      try {
        await reader.withResolvedProject(scope, async () => {
          const location = await reader.location(scope, context);
          if (location === undefined) throw new SecretNotFound(name);
          await write(location, context);
        });
      } catch (error: unknown) {
        const isGone = failedBecause(error, 'notFound:project', 'notFound:environment');
        throw isGone ? new SecretNotFound(name) : error;
      }
    });
  }
}
