import type { LogEvent } from '../../logging/log';
import type { SecretScope } from '../../secrets/secret';
import type { CallContext } from '../../secrets/call-context';
import type { SecretRow } from './api/answers';
import type { InfisicalApi } from './api/infisical-api';
import { duplicateRows, listSecrets, type ProjectEnvironment, retrieveSecret } from './api/secret-calls';
import type { ListedLocations } from './listed-locations';
import { keysOf } from './name-codec';
import type { ProjectDirectory } from './projects/project-directory';
import { failedBecause } from './versions/infisical-call-failed';

/** The rows of a whole location, or of a single name. */
export interface ScopeRead {
  readonly whole: boolean;
  readonly rows: readonly SecretRow[];
  readonly revision?: string;
}

interface ListOptions {
  /** Whether the caller can go on without a list that is too large, and with `evenIfSlow` without one that is too slow. */
  readonly dispensable: boolean;
  readonly evenIfSlow: boolean;
  readonly ifRevision?: string | undefined;
}

/** Reads a scope by listing its location, or by retrieving a single name where the list is huge and a retrieve is cheap. */
export class ScopeReader {
  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly locations: ListedLocations,
    private readonly log: LogEvent,
  ) {}

  /** Returns the location of a scope's secrets; undefined for a workspace that has no project. */
  async location(scope: SecretScope, context: CallContext): Promise<ProjectEnvironment | undefined> {
    const project = await this.projects.find(scope, context);
    return project === undefined ? undefined : { projectId: project.id, environment: scope.environment };
  }

  /** Returns all rows of a scope. */
  async list(scope: SecretScope, context: CallContext): Promise<readonly SecretRow[]> {
    return rowsIn(await this.#resolve(scope, context, (location) => this.#list(location, context)));
  }

  /**
   * Reads a name, or all rows of its scope where that is how the scope is read.
   * @param ifRevision the revision of an earlier read of all rows; the answer is 'unchanged' where it still holds
   */
  async readScope(
    scope: SecretScope,
    name: string,
    context: CallContext,
    ifRevision?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    return this.#resolve(scope, context, (location) => this.#read(location, name, context, ifRevision));
  }

  /** Returns the rows of one name; more than one where the server stored it twice. */
  async retrieve(scope: SecretScope, name: string, context: CallContext): Promise<readonly SecretRow[]> {
    return rowsIn(await this.readScope(scope, name, context), name);
  }

  /** Returns the rows of one name in a location that is known. */
  async retrieveFrom(
    location: ProjectEnvironment,
    name: string,
    context: CallContext,
  ): Promise<readonly SecretRow[]> {
    return rowsIn(await this.#read(location, name, context), name);
  }

  /** Lists where the name is known to have duplicate rows: a retrieve by name may answer with any of them. */
  async #read(
    location: ProjectEnvironment,
    name: string,
    context: CallContext,
    ifRevision?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    const { readsByNameAreCheap: cheap } = await this.api.apiVersion(context);
    const listed =
      (cheap || this.locations.isTooLarge(location)) && this.locations.isToReadByName(location, name)
        ? undefined
        : await this.#listIfAny(location, context, {
            dispensable: !this.locations.isDuplicated(location, name),
            evenIfSlow: cheap,
            ifRevision,
          });
    if (listed !== undefined) return listed;
    return { whole: false, rows: await this.#retrieve(location, name, context) };
  }

  /**
   * Returns how many rows an update of this name finds. An update changes only one row, so duplicate rows must be known; a missing
   * secret is reported by the update itself. Where no list is available, one row is assumed.
   * @throws InfisicalCallFailed where an earlier list showed duplicate rows and there is no list now
   */
  async countRows(location: ProjectEnvironment, name: string, context: CallContext): Promise<number> {
    if (this.locations.hasSingleRow(location, name)) return 1;
    const dispensable = !this.locations.isDuplicated(location, name);
    const list = await this.#listIfAny(location, context, { dispensable, evenIfSlow: true });
    return list === undefined ? 1 : rowsIn(list, name).length;
  }

  indeterminateCreate(location: ProjectEnvironment, name: string): void {
    this.locations.indeterminateCreate(location, name);
  }

  /** Notes that a name was deleted, with all its rows. */
  deleted(location: ProjectEnvironment, name: string): void {
    this.locations.deleted(location, name);
  }

  /** Runs `attempt` with the cached project, and once more after resolving the project again where the server does not know it any more. */
  async withResolvedProject<T>(scope: SecretScope, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error: unknown) {
      if (!failedBecause(error, 'notFound:project', 'notFound:environment', 'notAMember')) throw error;
      this.log('warn', 'infisical_project_stale', { reason: error.reason });
      this.projects.forget(scope);
      return attempt();
    }
  }

  /** Reads from the scope's location. A project that was deleted by hand is resolved again; an environment that was is empty. */
  async #resolve(
    scope: SecretScope,
    context: CallContext,
    read: (location: ProjectEnvironment) => Promise<ScopeRead | 'unchanged'>,
  ): Promise<ScopeRead | 'unchanged'> {
    return this.withResolvedProject(scope, async () => {
      const location = await this.location(scope, context);
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
    context: CallContext,
    ifRevision?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    const ended = this.locations.beginListing(location);
    const list = await listSecrets(this.api, location, context, ifRevision).finally(ended);
    if (list === 'unchanged') {
      this.locations.unchanged(location);
      return list;
    }
    this.locations.listed(location, list.rows);
    const duplicates = duplicateRows(list.rows);
    if (duplicates > 0) this.log('warn', 'infisical_duplicates_served', { duplicates });
    return { whole: true, ...list };
  }

  /** Returns undefined for a dispensable list that is too large, or that timed out for the second time. */
  async #listIfAny(
    location: ProjectEnvironment,
    context: CallContext,
    { dispensable, evenIfSlow, ifRevision }: ListOptions,
  ): Promise<ScopeRead | 'unchanged' | undefined> {
    try {
      return await this.#list(location, context, ifRevision);
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
    context: CallContext,
  ): Promise<readonly SecretRow[]> {
    for (const key of keysOf(name, await this.api.apiVersion(context))) {
      try {
        return [await retrieveSecret(this.api, location, key, context)];
      } catch (error: unknown) {
        if (!failedBecause(error, 'notFound:secret', 'nameRefused')) throw error;
      }
    }
    return [];
  }
}

/** Returns the rows of one name, or all rows. A read without a revision is never 'unchanged'. */
function rowsIn(read: ScopeRead | 'unchanged', name?: string): readonly SecretRow[] {
  const { rows } = read === 'unchanged' ? whole([]) : read;
  return name === undefined ? rows : rows.filter((row) => row.name === name);
}

function whole(rows: readonly SecretRow[]): ScopeRead {
  return { whole: true, rows };
}
