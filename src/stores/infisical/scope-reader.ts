import type { LogEvent } from '../../logging/log';
import type { SecretScope, CallContext } from '../../secrets/secret';
import { type SecretRow, keysOf } from './secret-codec';
import type { InfisicalApi } from './api/infisical-api';
import { listing, type ProjectEnvironment, retrieveSecret, type SecretList } from './api/secret-calls';
import type { ListedLocations } from './listed-locations';
import type { ProjectDirectory } from './projects/project-directory';
import { failedBecause, type InfisicalCallFailed } from './versions/infisical-call-failed';

/** The rows of a whole location, or of a single name. */
interface ScopeRead {
  readonly whole: boolean;
  readonly rows: readonly SecretRow[];
  readonly revision?: string;
}

/** Reads a scope by listing its location, or by retrieving a single name where the list is huge and a retrieve is cheap. */
export class ScopeReader {
  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly locations: ListedLocations,
    /** How long a list, or a read by name, that did not come in time took at least, unless its caller had less time than others have. */
    private readonly fullReadMs: number,
    private readonly log: LogEvent,
  ) {}

  /** Returns the location of a scope's secrets; undefined for a workspace that has no project. */
  async location(scope: SecretScope, context: CallContext): Promise<ProjectEnvironment | undefined> {
    const project = await this.projects.find(scope, context);
    return project === undefined ? undefined : { projectId: project.id, environment: scope.environment };
  }

  /**
   * Reads a name, or all rows of its scope where that is how the scope is read, or where no name is given. A project that was deleted by
   * hand is resolved again; an environment that was is empty.
   * @param ifRevision the revision of an earlier read of all rows; the answer is 'unchanged' where it still holds
   */
  async readScope(
    scope: SecretScope,
    name: string | undefined,
    context: CallContext,
    ifRevision?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    for (let isRepeated = false; ; isRepeated = true) {
      let location: ProjectEnvironment | undefined;
      try {
        location = await this.location(scope, context);
        return location === undefined ? whole([]) : await this.#read(location, name, context, ifRevision);
      } catch (error: unknown) {
        if (location !== undefined && failedBecause(error, 'notFound:environment')) {
          this.locations.forget(location);
          return whole([]);
        }
        if (isRepeated) throw error;
        this.#forgetStale(scope, error);
      }
    }
  }

  /** Returns the rows of one name in a location that is known; more than one where the server stored it twice. */
  async retrieveFrom(
    location: ProjectEnvironment,
    name: string,
    context: CallContext,
  ): Promise<readonly SecretRow[]> {
    return rowsIn(await this.#read(location, name, context), name);
  }

  /**
   * Lists the location. Retrieves the name alone where a list is huge, or cannot be had, unless the name is known to have duplicate rows:
   * a retrieve by name may answer with any of them.
   */
  async #read(
    location: ProjectEnvironment,
    name: string | undefined,
    context: CallContext,
    ifRevision?: string,
  ): Promise<ScopeRead | 'unchanged'> {
    const { readsByNameAreCheap: cheap } = await this.api.apiVersion(context);
    const byName = name !== undefined && (cheap || this.locations.last(location)?.tooLarge === true);
    if (byName && this.locations.isToReadByName(location, name))
      return this.#retrieve(location, name, context);
    const timeouts = this.locations.last(location)?.timeouts ?? 0;
    const ended = this.locations.beginListing(location);
    try {
      const { parts, parse } = listing(location, ifRevision);
      return this.#listed(location, await this.api.call('listSecrets', parts, parse, context));
    } catch (error: unknown) {
      this.#noteFailure(location, error, timeouts);
      if (name === undefined || !this.#isDispensable(location, name, error, cheap)) throw error;
    } finally {
      ended();
    }
    return this.#retrieve(location, name, context);
  }

  /**
   * Returns how many rows an update of this name finds. An update changes only one row, so duplicate rows must be known; a missing
   * secret is reported by the update itself. Where no list is available, one row is assumed.
   * @throws InfisicalCallFailed where an earlier list showed duplicate rows and there is no list now
   */
  async countRows(location: ProjectEnvironment, name: string, context: CallContext): Promise<number> {
    if (this.locations.hasSingleRow(location, name)) return 1;
    try {
      return rowsIn(await this.#read(location, undefined, context), name).length;
    } catch (error: unknown) {
      if (!this.#isDispensable(location, name, error, true)) throw error;
      return 1;
    }
  }

  /** Runs `attempt` with the cached project, and once more after resolving the project again where the server does not know it any more. */
  async withResolvedProject<T>(scope: SecretScope, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error: unknown) {
      this.#forgetStale(scope, error);
      return attempt();
    }
  }

  /** Forgets the cached project. @throws the error where it does not say that the server does not know it any more */
  #forgetStale(scope: SecretScope, error: unknown): void {
    if (!failedBecause(error, 'notFound:project', 'notFound:environment', 'notAMember')) throw error;
    this.log('warn', 'infisical_project_stale', { reason: error.reason });
    this.projects.forget(scope);
  }

  /** Notes the result of a list. */
  #listed(location: ProjectEnvironment, list: SecretList | 'unchanged'): ScopeRead | 'unchanged' {
    if (list === 'unchanged') {
      this.locations.unchanged(location);
      return list;
    }
    const duplicated = this.locations.listed(location, list.rows);
    if (duplicated.size > 0) {
      const duplicates = list.rows.filter(({ name }) => duplicated.has(name)).length - duplicated.size;
      this.log('warn', 'infisical_duplicates_served', { duplicates });
    }
    return { whole: true, ...list };
  }

  /** Returns whether a read that timed out had the time of others. Its timeout says nothing where it had little, as of a caller that had waited for its turn. */
  #hadFullTime({ hadMs = 0 }: InfisicalCallFailed): boolean {
    return hadMs >= this.fullReadMs;
  }

  /**
   * Notes the failure of a list.
   * @param timeouts how many had not come when it began
   */
  #noteFailure(location: ProjectEnvironment, error: unknown, timeouts: number): void {
    if (!isOfList(error)) return;
    if (error.reason === 'answerTooLarge') this.locations.tooLarge(location);
    else if (this.#hadFullTime(error)) this.locations.timedOut(location, timeouts);
  }

  /**
   * Returns whether a caller that wants one name can go on without the list that failed: where it is too large, or with `evenIfSlow` too slow,
   * and the name is not known to have duplicate rows.
   */
  #isDispensable(location: ProjectEnvironment, name: string, error: unknown, evenIfSlow: boolean): boolean {
    if (!isOfList(error) || !this.locations.isUnlistable(location)) return false;
    if (this.locations.last(location)?.duplicated?.has(name) === true) return false;
    if (error.reason !== 'answerTooLarge' && !evenIfSlow) return false;
    this.log('warn', 'infisical_list_skipped', { reason: error.reason });
    return true;
  }

  async #retrieve(location: ProjectEnvironment, name: string, context: CallContext): Promise<ScopeRead> {
    for (const key of keysOf(name, await this.api.apiVersion(context))) {
      try {
        return { whole: false, rows: [await retrieveSecret(this.api, location, key, context)] };
      } catch (error: unknown) {
        if (failedBecause(error, 'timedOut') && this.#hadFullTime(error)) this.locations.stalled(location);
        if (!failedBecause(error, 'notFound:secret', 'nameRefused')) throw error;
      }
    }
    return { whole: false, rows: [] };
  }
}

/** Returns whether a list failed for its size or its time. */
function isOfList(error: unknown): error is InfisicalCallFailed {
  return failedBecause(error, 'answerTooLarge', 'timedOut') && error.call === 'listSecrets';
}

/** Returns the rows of one name, or all rows. A read without a revision is never 'unchanged'. */
export function rowsIn(read: ScopeRead | 'unchanged', name?: string): readonly SecretRow[] {
  const { rows } = read === 'unchanged' ? whole([]) : read;
  return name === undefined ? rows : rows.filter((row) => row.name === name);
}

function whole(rows: readonly SecretRow[]): ScopeRead {
  return { whole: true, rows };
}
