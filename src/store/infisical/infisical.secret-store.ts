import type { Clock } from '../../clock/clock';
import type { MonotonicTime } from '../../clock/monotonic-time';
import { SystemMonotonicTime } from '../../clock/system-monotonic-time';
import { SecretNotFound } from '../../errors/store-errors';
import type { Secret, SecretScope } from '../../secrets/secret';
import { SecretStore, type ScopeContents, type StoredWorkspace } from '../../secrets/secret-store';
import type { Deadline } from './deadline';
import { DialectProbe } from './dialect-probe';
import { givenDialect } from './dialect-source';
import { InfisicalApi } from './infisical-api';
import { failedBecause } from './infisical-call-failed';
import { InfisicalClient } from './infisical-client';
import { DEFAULTS, type InfisicalOptions, type Log } from './infisical-options';
import { ListedRooms } from './listed-rooms';
import { loginMethod } from './login-method';
import { MachineSession } from './machine-session';
import { Operations } from './operations';
import { PingProbe } from './ping-probe';
import { ProjectDirectory } from './project-directory';
import { RateLimits } from './rate-limits';
import { readableSecret, readableSecrets } from './readable-secret';
import { RetryBudget } from './retry-budget';
import { ScopeReader } from './scope-reader';
import type { Room } from './secret-calls';
import { requireHoldableName } from './secret-name';
import { distinctRows, preferredRow } from './secret-rows';
import { SecretWriter } from './secret-writer';
import { UserProjects } from './user-projects';
import { encodeValue } from './value-codec';

/**
 * Wires the adapter. Nothing is sent before the first operation or ping.
 * @param clock tells how old things are that outlive an operation; `time` is what deadlines are made of
 * @throws Error for an unusable address
 */
export function createInfisicalSecretStore(
  options: InfisicalOptions,
  clock: Clock,
  log: Log = () => undefined,
  time: MonotonicTime = new SystemMonotonicTime(),
): SecretStore {
  const settings = { ...DEFAULTS, ...options };
  const limits = new RateLimits(time);
  const client = new InfisicalClient(settings, limits);
  const dialects =
    settings.dialect === undefined
      ? new DialectProbe(client, settings.requestTimeoutMs, clock, log)
      : givenDialect(settings.dialect);
  const dialect = () => dialects.current();
  const login = loginMethod(client, dialect, settings, settings.requestTimeoutMs);
  const session = new MachineSession(login, clock, log);
  const api = new InfisicalApi(client, session, time, {
    dialects,
    requestTimeoutMs: settings.requestTimeoutMs,
    budget: new RetryBudget(clock),
  });
  const projects = new ProjectDirectory(api, settings, log);
  const reader = new ScopeReader(api, projects, new ListedRooms(clock), log);
  const parts = {
    projects,
    reader,
    writer: new SecretWriter(api, reader, settings.operationTimeoutMs, log),
    users: new UserProjects(api, projects, log),
    probe: new PingProbe(api, clock, time, log),
    close: () => client.close(),
  };
  const operations = new Operations(settings.operationTimeoutMs, time, log, settings.scopeLock);
  settings.observer?.opened({
    dialect: () => dialects.known()?.name,
    sessionEndsAtMs: () => session.endsAtMs,
    callsWaiting: () => limits.waiting,
    writes: () => operations.writes,
  });
  return new InfisicalSecretStore(parts, operations, log);
}

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
    private readonly log: Log,
  ) {
    super();
  }

  async create(scope: SecretScope, { name, value }: Secret): Promise<void> {
    requireHoldableName(name);
    const stored = encodeValue(value);
    const { projects, reader, writer } = this.parts;
    await this.operations.writeInTurn(scope, async (deadline) => {
      await writer.requireWritable(name, deadline);
      await reader.despiteStaleIds(scope, async () => {
        const project = await projects.provision(scope, scope.environment, deadline);
        const room = { projectId: project.id, environment: scope.environment };
        const create = () => writer.create(room, name, stored, deadline);
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
    await this.#inRoom(scope, name, async (room, deadline) => {
      const copies = await reader.copies(room, name, deadline);
      if (copies === 0) throw new SecretNotFound(name);
      await writer.update(room, { name, stored, copies }, deadline);
    });
  }

  async delete(scope: SecretScope, name: string): Promise<void> {
    requireHoldableName(name);
    await this.#inRoom(scope, name, (room, deadline) => this.parts.writer.delete(room, name, deadline));
  }

  async list(scope: SecretScope): Promise<readonly Secret[]> {
    return this.operations.run(async (deadline) => {
      const rows = await this.parts.reader.contents(scope, deadline);
      return distinctRows(rows).map((row) => readableSecret(row, this.log));
    });
  }

  override async lookUp(scope: SecretScope, name: string): Promise<ScopeContents> {
    return this.operations.run(async (deadline) => {
      const { whole, rows } = await this.parts.reader.lookFor(scope, name, deadline);
      return { whole, ...readableSecrets(distinctRows(rows)) };
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

  async close(): Promise<void> {
    this.parts.close();
    return Promise.resolve();
  }

  /** The server itself says whether the secret is there; a room that is gone has none. */
  #inRoom(
    scope: SecretScope,
    name: string,
    write: (room: Room, deadline: Deadline) => Promise<void>,
  ): Promise<void> {
    const { reader, writer } = this.parts;
    return this.operations.writeInTurn(scope, async (deadline) => {
      await writer.requireWritable(name, deadline);
      await existing(name, () =>
        reader.despiteStaleIds(scope, async () => {
          const room = await reader.room(scope, deadline);
          if (room === undefined) throw new SecretNotFound(name);
          await write(room, deadline);
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
