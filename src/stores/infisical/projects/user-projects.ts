import { LRUCache } from 'lru-cache';
import type { StoredWorkspace } from '../../../secrets/secret-store';
import { StoreUnavailable } from '../../../errors/store-errors';
import { parseProjects } from '../api/answers';
import type { Deadline } from '../../../time/deadline';
import type { ApiVersion } from '../versions/api-version';
import type { InfisicalApi } from '../api/infisical-api';
import { failedBecause } from '../versions/infisical-call-failed';
import type { LogEvent } from '../../../logging/log';
import type { ProjectDirectory } from './project-directory';
import { userSlugPrefix } from './project-slug';
import { SingleFlight } from '../../../concurrency/single-flight';
import { leavesIndeterminate } from '../versions/indeterminate-write';

/** Only projects tell the identity its organization, and to look for a user's makes none. */
const NO_ORGANIZATION_YET =
  'Infisical tells its organization only with one of its projects, and none was met yet: set INFISICAL_ORGANIZATION_ID.';

const MAX_FOUND = 10_000;

/**
 * The projects of one user: those of the machine identity whose slugs begin with the user's part. One that was found
 * stays among them until it is removed, also where the identity lost its membership and finds it no more; one whose
 * membership was lost before is not known.
 */
export class UserProjects {
  /** Ids with the user's part of their slugs. */
  readonly #found = new LRUCache<string, string>({ max: MAX_FOUND });
  readonly #removals = new SingleFlight<void>();

  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly log: LogEvent,
  ) {}

  async of(user: string, deadline: Deadline): Promise<readonly StoredWorkspace[]> {
    // v3 answers with an empty list for an organization that is not the identity's: nothing would be removed.
    await this.projects.requireOrganization(deadline);
    const prefix = userSlugPrefix(user);
    const parts = ({ listsByOrganization }: ApiVersion) => {
      if (!listsByOrganization) return {};
      const { organizationId } = this.projects;
      if (organizationId === undefined) throw new StoreUnavailable(NO_ORGANIZATION_YET);
      return { path: { organizationId } };
    };
    const all = await this.api.call('listProjects', parts, parseProjects, deadline);
    for (const { id, slug } of all) if (slug.startsWith(prefix)) this.#found.set(id, prefix);
    return [...this.#found].flatMap(([id, of]) => (of === prefix ? [{ id }] : []));
  }

  /**
   * Ids are given once: a project that is made anew has another. All servers answer differently for a project that is
   * gone and for one that the identity is no member of: only the first counts as removed.
   */
  async remove({ id }: StoredWorkspace, deadline: Deadline): Promise<void> {
    // Real servers answer 500 to all but one of several deletes at once.
    await this.#removals.run(id, () => this.#remove(id, deadline));
  }

  async #remove(id: string, deadline: Deadline): Promise<void> {
    try {
      await this.#delete(id, deadline).catch((error: unknown) => {
        // The server may have done it, or another instance has: nothing else tells than to ask for it again.
        if (!leavesIndeterminate(error)) throw error;
        return this.#delete(id, deadline);
      });
      this.log('info', 'infisical_project_removal_succeeded', { project: id });
    } catch (error: unknown) {
      if (!failedBecause(error, 'notFound:project')) {
        this.log('warn', 'infisical_project_removal_failed', { project: id });
        throw error;
      }
    } finally {
      this.projects.forgetId(id);
    }
    this.#found.delete(id);
  }

  async #delete(projectId: string, deadline: Deadline): Promise<void> {
    await this.api.call(
      'deleteProject',
      () => ({ path: { projectId } }),
      (answer) => answer,
      deadline,
    );
  }
}
