import type { SecretScope } from '../../secrets/secret';
import type { SecretRow } from './api/answers';
import type { Deadline } from '../../time/deadline';
import type { InfisicalApi } from './api/infisical-api';
import { failedBecause } from './versions/infisical-call-failed';
import type { LogEvent } from '../../logging/log';
import type { ListedLocations } from './listed-locations';
import type { ProjectDirectory } from './projects/project-directory';
import { listSecrets, retrieveSecret, type ProjectEnvironment, duplicateRows } from './api/secret-calls';

/** The rows of all names of a room, or of the one that was looked for. */
export interface ScopeRead {
  readonly whole: boolean;
  readonly rows: readonly SecretRow[];
  readonly revision?: string;
}

interface ListManner {
  /** One that does not fit can be done without, and so can, `evenIfSlow`, one that does not come in time. */
  readonly dispensable: boolean;
  readonly evenIfSlow: boolean;
  readonly known?: string | undefined;
}

/** Reads a scope by one list of its room, or one name of it by itself where the room is huge and that is cheap. */
export class ScopeReader {
  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly locations: ListedLocations,
    private readonly log: LogEvent,
  ) {}

  /** Where a scope's secrets are; undefined for a workspace that has no project. */
  async location(scope: SecretScope, deadline: Deadline): Promise<ProjectEnvironment | undefined> {
    const project = await this.projects.find(scope, deadline);
    return project === undefined ? undefined : { projectId: project.id, environment: scope.environment };
  }

  /** All rows of a scope. */
  async contents(scope: SecretScope, deadline: Deadline): Promise<readonly SecretRow[]> {
    return rowsIn(await this.#wherever(scope, deadline, (location) => this.#list(location, deadline)));
  }

  /**
   * One look for a name: all rows of its scope, where that is how the scope is read.
   * @param known the revision of an earlier look at all rows, which may turn out to be unchanged
   */
  async readFor(
    scope: SecretScope,
    name: string,
    deadline: Deadline,
    known?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    return this.#wherever(scope, deadline, (location) => this.#readIn(location, name, deadline, known));
  }

  /** The rows of one name: several where the server stored it more than once. */
  async rowsOf(scope: SecretScope, name: string, deadline: Deadline): Promise<readonly SecretRow[]> {
    return rowsIn(await this.readFor(scope, name, deadline), name);
  }

  async rowsIn(
    location: ProjectEnvironment,
    name: string,
    deadline: Deadline,
  ): Promise<readonly SecretRow[]> {
    return rowsIn(await this.#readIn(location, name, deadline), name);
  }

  /** Of a name that is known to be doubled, the server may show any row: without a list it cannot be read. */
  async #readIn(
    location: ProjectEnvironment,
    name: string,
    deadline: Deadline,
    known?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    const { readsByNameAreCheap: cheap } = await this.api.apiVersion(deadline);
    const listed =
      (cheap || this.locations.isTooLarge(location)) && this.locations.isToReadByName(location, name)
        ? undefined
        : await this.#listIfAny(location, deadline, {
            dispensable: !this.locations.isDuplicated(location, name),
            evenIfSlow: cheap,
            known,
          });
    if (listed !== undefined) return listed;
    return { whole: false, rows: await this.#retrieve(location, name, deadline) };
  }

  /**
   * How many rows an update of this name would find. An update changes one row only, so that a name that is there
   * more than once must be known; that it is not there at all, the server itself says to the update. Where no list
   * can tell, it is taken to be there once.
   * @throws InfisicalCallFailed where an earlier list showed it doubled and there is no list now
   */
  async copies(location: ProjectEnvironment, name: string, deadline: Deadline): Promise<number> {
    if (this.locations.hasSingle(location, name)) return 1;
    const dispensable = !this.locations.isDuplicated(location, name);
    const look = await this.#listIfAny(location, deadline, { dispensable, evenIfSlow: true });
    return look === undefined ? 1 : rowsIn(look, name).length;
  }

  indeterminateCreate(location: ProjectEnvironment, name: string): void {
    this.locations.indeterminateCreate(location, name);
  }

  /** A delete takes all rows of a name. */
  deleted(location: ProjectEnvironment, name: string): void {
    this.locations.deleted(location, name);
  }

  /** Ids are kept; when the server does not know one any more, it is asked for them again, once. */
  async despiteStaleIds<T>(scope: SecretScope, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error: unknown) {
      if (!failedBecause(error, 'notFound:project', 'notFound:environment', 'notAMember')) throw error;
      this.log('warn', 'infisical_project_stale', { reason: error.reason });
      this.projects.forget(scope);
      return attempt();
    }
  }

  /** A project that was deleted by hand is looked for anew; an environment that was is empty. */
  async #wherever(
    scope: SecretScope,
    deadline: Deadline,
    read: (location: ProjectEnvironment) => Promise<ScopeRead | 'unchanged'>,
  ): Promise<ScopeRead | 'unchanged'> {
    return this.despiteStaleIds(scope, async () => {
      const location = await this.location(scope, deadline);
      if (location === undefined) return whole([]);
      try {
        return await read(location);
      } catch (error: unknown) {
        if (!failedBecause(error, 'notFound:environment')) throw error;
        this.locations.forget(location);
        return whole([]);
      }
    });
  }

  async #list(
    location: ProjectEnvironment,
    deadline: Deadline,
    known?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    const list = await this.locations.whileListing(location, () =>
      listSecrets(this.api, location, deadline, known),
    );
    if (list === 'unchanged') {
      this.locations.unchanged(location);
      return list;
    }
    this.locations.listed(location, list.rows);
    const duplicates = duplicateRows(list.rows);
    if (duplicates > 0) this.log('warn', 'infisical_duplicates_served', { duplicates });
    return { whole: true, ...list };
  }

  /** Undefined, where the caller can do without, for a room that is too large for a list or once more for its time. */
  async #listIfAny(
    location: ProjectEnvironment,
    deadline: Deadline,
    { dispensable, evenIfSlow, known }: ListManner,
  ): Promise<ScopeRead | 'unchanged' | undefined> {
    try {
      return await this.#list(location, deadline, known);
    } catch (error: unknown) {
      if (!failedBecause(error, 'answerTooLarge', 'timedOut') || error.call !== 'listSecrets') throw error;
      const tooLarge = error.reason === 'answerTooLarge';
      const forGood = tooLarge || this.locations.isHuge(location);
      this.locations.unlistable(location, { forGood, tooLarge });
      if (!forGood || !dispensable || !(tooLarge || evenIfSlow)) throw error;
      this.log('warn', 'infisical_list_skipped', { reason: error.reason });
      return undefined;
    }
  }

  async #retrieve(
    location: ProjectEnvironment,
    name: string,
    deadline: Deadline,
  ): Promise<readonly SecretRow[]> {
    try {
      return [await retrieveSecret(this.api, location, name, deadline)];
    } catch (error: unknown) {
      if (failedBecause(error, 'notFound:secret', 'nameRefused')) return [];
      throw error;
    }
  }
}

/** Of one name, or all. What was looked at without a known revision is never 'unchanged'. */
function rowsIn(look: ScopeRead | 'unchanged', name?: string): readonly SecretRow[] {
  const { rows } = look === 'unchanged' ? whole([]) : look;
  return name === undefined ? rows : rows.filter((row) => row.name === name);
}

function whole(rows: readonly SecretRow[]): ScopeRead {
  return { whole: true, rows };
}
