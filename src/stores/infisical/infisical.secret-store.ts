import { SecretNotFound } from '../../errors/store-errors';
import { type Secret, type SecretScope, usageOf, type ScopeUsage } from '../../secrets/secret';
import {
  type ReadReport,
  SecretStore,
  type ScopeContents,
  type StoredWorkspace,
} from '../../secrets/secret-store';
import type { Deadline } from '../../time/deadline';
import { failedBecause } from './versions/infisical-call-failed';
import type { LogEvent } from '../../logging/log';
import type { Operations } from './operations';
import type { PingProbe } from './ping-probe';
import type { ProjectDirectory } from './projects/project-directory';
import { bytesOfRow, readableSecret, readableSecrets, encodeValue } from './value-codec';
import type { ScopeReader } from './scope-reader';
import { type ProjectEnvironment, distinctRows, preferredRow } from './api/secret-calls';
import { requireHoldableName, type SecretWriter } from './secret-writer';
import type { UserProjects } from './projects/user-projects';

export interface StoreParts {
  readonly projects: ProjectDirectory;
  readonly reader: ScopeReader;
  readonly writer: SecretWriter;
  readonly users: UserProjects;
  readonly probe: PingProbe;
  readonly close: () => void;
}

/** Our words → calls → our errors. A project for each (user, workspace), read by one call, written in turn. */
export class InfisicalSecretStore extends SecretStore {
  constructor(
    private readonly parts: StoreParts,
    private readonly operations: Operations,
    private readonly log: LogEvent,
  ) {
    super();
  }

  async create(scope: SecretScope, { name, value }: Secret): Promise<void> {
    requireHoldableName(name);
    const stored = encodeValue(value);
    const { projects, reader, writer } = this.parts;
    await this.operations.writeSerialized(scope, async (deadline) => {
      await writer.requireWritable(name, true, deadline);
      await reader.despiteStaleIds(scope, async () => {
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
      const row = preferredRow(await this.parts.reader.rowsOf(scope, name, deadline));
      if (row === undefined) throw new SecretNotFound(name);
      return readableSecret(row, this.log);
    });
  }

  async update(scope: SecretScope, { name, value }: Secret): Promise<void> {
    requireHoldableName(name);
    const stored = encodeValue(value);
    const { reader, writer } = this.parts;
    await this.#inRoom(scope, name, async (location, deadline) => {
      const copies = await reader.copies(location, name, deadline);
      if (copies === 0) throw new SecretNotFound(name);
      await writer.update(location, { name, stored, copies }, deadline);
    });
  }

  async delete(scope: SecretScope, name: string): Promise<void> {
    requireHoldableName(name);
    await this.#inRoom(scope, name, (location, deadline) =>
      this.parts.writer.delete(location, name, deadline),
    );
  }

  async list(scope: SecretScope, report?: ReadReport): Promise<readonly Secret[]> {
    return this.operations.run(async (deadline) => {
      const rows = distinctRows(await this.parts.reader.contents(scope, deadline));
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
      const look = await this.parts.reader.readFor(scope, name, deadline, known);
      if (look === 'unchanged') return look;
      const { rows, ...extent } = look;
      return { ...extent, ...readableSecrets(distinctRows(rows)) };
    });
  }

  /** By one list, whose rows count as they are stored where they cannot be read. */
  override async measure(scope: SecretScope): Promise<ScopeUsage> {
    return this.operations.run(async (deadline) => {
      const rows = distinctRows(await this.parts.reader.contents(scope, deadline));
      return usageOf(new Map(rows.map((row) => [row.name, bytesOfRow(row)])));
    });
  }

  override requireName(name: string): void {
    requireHoldableName(name);
  }

  async workspacesOf(user: string): Promise<readonly StoredWorkspace[]> {
    return this.operations.run((deadline) => this.parts.users.of(user, deadline));
  }

  async removeWorkspace(workspace: StoredWorkspace): Promise<void> {
    const { users } = this.parts;
    return this.operations.write((deadline) => users.remove(workspace, deadline));
  }

  async ping(): Promise<void> {
    await this.parts.probe.ping();
  }

  /** What an operator should mend although this store is ready, one sentence each. */
  problems(): readonly string[] {
    return this.parts.projects.problems();
  }

  async close(): Promise<void> {
    this.parts.close();
    return Promise.resolve();
  }

  /** The server itself says whether the secret is there; a room that is gone has none. */
  #inRoom(
    scope: SecretScope,
    name: string,
    write: (location: ProjectEnvironment, deadline: Deadline) => Promise<void>,
  ): Promise<void> {
    const { reader, writer } = this.parts;
    return this.operations.writeSerialized(scope, async (deadline) => {
      await writer.requireWritable(name, false, deadline);
      await existing(name, () =>
        reader.despiteStaleIds(scope, async () => {
          const location = await reader.location(scope, deadline);
          if (location === undefined) throw new SecretNotFound(name);
          await write(location, deadline);
        }),
      );
    });
  }
}

/** If the room is gone, so is the secret. */
async function existing(name: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error: unknown) {
    throw failedBecause(error, 'notFound:project', 'notFound:environment') ? new SecretNotFound(name) : error;
  }
}
