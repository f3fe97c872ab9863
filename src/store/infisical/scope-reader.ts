import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock/clock';
import type { SecretScope } from '../../secrets/secret';
import type { SecretRow } from './answers';
import type { Deadline } from './deadline';
import type { InfisicalApi } from './infisical-api';
import { failedBecause } from './infisical-call-failed';
import type { Log } from './infisical-options';
import type { ProjectDirectory } from './project-directory';
import { listSecrets, type Room } from './secret-calls';
import { doubledNames, surplusRows } from './secret-rows';

/** What is stored for a scope, and where; no room for a workspace that has no project. */
export interface Contents {
  readonly room: Room | undefined;
  readonly rows: readonly SecretRow[];
}

const MAX_REMEMBERED_ROOMS = 10_000;
/** Names are doubled by writers outside of this process only, as by hand in the page: rare, and never quick to matter. */
const TRUSTED_MS = 600_000;

/** Reads a scope by one list of its room. */
export class ScopeReader {
  /** By room: when it was listed last, and the names that were there more than once. */
  readonly #seen = new LRUCache<string, { readonly atMs: number; readonly doubled: ReadonlySet<string> }>({
    max: MAX_REMEMBERED_ROOMS,
  });

  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  /** Where a scope's secrets are; undefined for a workspace that has no project. */
  async room(scope: SecretScope, deadline: Deadline): Promise<Room | undefined> {
    const project = await this.projects.find(scope, deadline);
    return project === undefined ? undefined : { projectId: project.id, environment: scope.environment };
  }

  /**
   * How many rows an update of this name would find. An update changes one row only, so that a name that is there
   * more than once must be known; that it is not there at all, the server itself says to the update.
   */
  async copies(room: Room, name: string, deadline: Deadline): Promise<number> {
    const seen = this.#seen.get(keyOf(room));
    const ageMs = seen === undefined ? Infinity : this.clock.nowMs() - seen.atMs;
    if (seen !== undefined && ageMs >= 0 && ageMs < TRUSTED_MS && !seen.doubled.has(name)) return 1;
    return (await this.list(room, deadline)).filter((row) => row.name === name).length;
  }

  /** A project that was deleted by hand is looked for anew; an environment that was is empty. */
  async contents(scope: SecretScope, deadline: Deadline): Promise<Contents> {
    return this.despiteStaleIds(scope, async () => {
      const room = await this.room(scope, deadline);
      if (room === undefined) return { room: undefined, rows: [] };
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
    this.#seen.set(keyOf(room), { atMs: this.clock.nowMs(), doubled: doubledNames(rows) });
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

function keyOf({ projectId, environment }: Room): string {
  return `${projectId} ${environment}`;
}
