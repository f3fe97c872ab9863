import type { SecretScope } from '../../secrets/secret';
import type { SecretRow } from './answers';
import type { Deadline } from './deadline';
import type { InfisicalApi } from './infisical-api';
import { failedBecause } from './infisical-call-failed';
import type { Log } from './infisical-options';
import type { ProjectDirectory } from './project-directory';
import { listSecrets, type Room } from './secret-calls';
import { surplusRows } from './secret-rows';

/** What is stored for a scope, and where; no room for a workspace that has no project. */
export interface Contents {
  readonly room: Room | undefined;
  readonly rows: readonly SecretRow[];
}

/** Reads a scope by one list of its room. */
export class ScopeReader {
  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly log: Log,
  ) {}

  /** A project that was deleted by hand is looked for anew; an environment that was is empty. */
  async contents(scope: SecretScope, deadline: Deadline): Promise<Contents> {
    return this.despiteStaleIds(scope, async () => {
      const project = await this.projects.find(scope, deadline);
      if (project === undefined) return { room: undefined, rows: [] };
      const room = { projectId: project.id, environment: scope.environment };
      try {
        return { room, rows: await this.list(room, deadline) };
      } catch (error: unknown) {
        if (failedBecause(error, 'notFound:environment')) return { room: undefined, rows: [] };
        throw error;
      }
    });
  }

  async list(room: Room, deadline: Deadline): Promise<readonly SecretRow[]> {
    const rows = await listSecrets(this.api, room, deadline);
    const surplus = surplusRows(rows);
    if (surplus > 0) this.log('infisical.duplicates.served', { surplus });
    return rows;
  }

  /** Ids are kept; when the server does not know one any more, it is asked for them again, once. */
  async despiteStaleIds<T>(scope: SecretScope, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error: unknown) {
      if (!failedBecause(error, 'notFound:project', 'notFound:environment', 'notAMember')) throw error;
      this.log('infisical.project.stale', { reason: error.reason });
      this.projects.forget(scope);
      return attempt();
    }
  }
}
