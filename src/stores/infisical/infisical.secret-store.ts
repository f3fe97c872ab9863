import { SecretNotFound } from '../../errors/store-errors';
import type { LogEvent } from '../../logging/log';
import { type ScopeUsage, type Secret, type SecretScope, usageOf } from '../../secrets/secret';
import {
  type ReadReport,
  type ScopeContents,
  SecretStore,
  type StoredWorkspace,
} from '../../secrets/secret-store';
import type { Deadline } from '../../time/deadline';
import { distinctRows, preferredRow, type ProjectEnvironment } from './api/secret-calls';
import type { Operations } from './operations';
import type { PingProbe } from './ping-probe';
import type { ProjectDirectory } from './projects/project-directory';
import type { UserProjects } from './projects/user-projects';
import type { ScopeReader } from './scope-reader';
import { requireHoldableName } from './name-codec';
import type { SecretWriter } from './secret-writer';
import { bytesOfRow, encodeValue, readableSecret, readableSecrets } from './value-codec';
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
export class InfisicalSecretStore extends SecretStore {
  constructor(
    private readonly deps: InfisicalStoreDeps,
    private readonly operations: Operations,
    private readonly log: LogEvent,
  ) {
    super();
  }

  async create(scope: SecretScope, { name, value }: Secret): Promise<void> {
    requireHoldableName(name);
    const stored = encodeValue(value);
    const { projects, reader, writer } = this.deps;
    await this.operations.writeSerialized(scope, async (deadline) => {
      await reader.withResolvedProject(scope, async () => {
        const project = await projects.provision(scope, scope.environment, deadline);
        const location = { projectId: project.id, environment: scope.environment };
        const create = () => writer.create(location, name, stored, deadline);
        await projects.firstOrAfter(project.id, create, deadline);
      });
    });
  }

  async retrieve(scope: SecretScope, name: string): Promise<Secret> {
    requireHoldableName(name);
    return this.operations.run(async (deadline) => {
      const row = preferredRow(await this.deps.reader.retrieve(scope, name, deadline));
      if (row === undefined) throw new SecretNotFound(name);
      return readableSecret(row, this.log);
    });
  }

  async update(scope: SecretScope, { name, value }: Secret): Promise<void> {
    requireHoldableName(name);
    const stored = encodeValue(value);
    const { reader, writer } = this.deps;
    await this.#write(scope, name, async (location, deadline) => {
      const rowCount = await reader.countRows(location, name, deadline);
      if (rowCount === 0) throw new SecretNotFound(name);
      await writer.update(location, { name, stored, rowCount }, deadline);
    });
  }

  async delete(scope: SecretScope, name: string): Promise<void> {
    requireHoldableName(name);
    await this.#write(scope, name, (location, deadline) => this.deps.writer.delete(location, name, deadline));
  }

  async list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    return this.operations.run(async (deadline) => {
      const rows = distinctRows(await this.deps.reader.list(scope, deadline));
      if (report?.unreadable === undefined) return rows.map((row) => readableSecret(row, this.log));
      const { secrets, unreadable } = readableSecrets(rows, this.log);
      if (unreadable.size > 0) report.unreadable([...unreadable]);
      return secrets;
    });
  }

  override async readScope(
    scope: SecretScope,
    name: string,
    known?: string,
  ): Promise<ScopeContents | 'unchanged'> {
    return this.operations.run(async (deadline) => {
      const read = await this.deps.reader.readScope(scope, name, deadline, known);
      if (read === 'unchanged') return read;
      const { rows, ...extent } = read;
      return { ...extent, ...readableSecrets(distinctRows(rows)) };
    });
  }

  /** Lists the scope. Values that cannot be read count with the size in which they are stored. */
  override async measure(scope: SecretScope): Promise<ScopeUsage> {
    return this.operations.run(async (deadline) => {
      const rows = distinctRows(await this.deps.reader.list(scope, deadline));
      return usageOf(new Map(rows.map((row) => [row.name, bytesOfRow(row)])));
    });
  }

  override requireName(name: string): void {
    requireHoldableName(name);
  }

  async workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.operations.run((deadline) => this.deps.users.of(user, deadline));
  }

  async removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    return this.operations.write((deadline) => this.deps.users.remove(workspace, deadline));
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

  /** Writes to a secret that the server must have. @throws SecretNotFound also where its project or environment is gone */
  #write(
    scope: SecretScope,
    name: string,
    write: (location: ProjectEnvironment, deadline: Deadline) => Promise<void>,
  ): Promise<void> {
    const { reader } = this.deps;
    return this.operations.writeSerialized(scope, async (deadline) => {
      try {
        await reader.withResolvedProject(scope, async () => {
          const location = await reader.location(scope, deadline);
          if (location === undefined) throw new SecretNotFound(name);
          await write(location, deadline);
        });
      } catch (error: unknown) {
        const isGone = failedBecause(error, 'notFound:project', 'notFound:environment');
        throw isGone ? new SecretNotFound(name) : error;
      }
    });
  }
}
