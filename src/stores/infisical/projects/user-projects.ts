import { LRUCache } from 'lru-cache';
import type { CallContext } from '../../../secrets/secret';
import { StoreUnavailable } from '../../../errors/store-errors';
import { parseProjects } from '../api/answers';
import type { ApiVersion } from '../versions/api-version';
import { anyBody, type InfisicalApi } from '../api/infisical-api';
import { failedBecause, leavesIndeterminate } from '../versions/infisical-call-failed';
import type { LogEvent } from '../../../logging/log';
import type { OrganizationCheck } from './organization-check';
import type { ProjectDirectory } from './project-directory';
import { userSlugPrefix } from './project-slug';
import { SingleFlight } from '../../../concurrency/keyed-work';

/** The identity learns its organization only from projects, and listing a user's projects creates none. */
const NO_ORGANIZATION_YET =
  'Infisical tells its organization only with one of its projects, and none was met yet: set INFISICAL_ORGANIZATION_ID.';

const MAX_FOUND = 10_000;

/**
 * Finds and removes the projects of one user: those of the machine identity whose slugs begin with the user's part. A project that
 * was found stays known until it is removed, also where the identity loses its membership and does not find it any more; one whose
 * membership was lost before is not found.
 */
export class UserProjects {
  /** The user's part of the slug, by project id. */
  readonly #found = new LRUCache<string, string>({ max: MAX_FOUND });
  readonly #removals = new SingleFlight<void>();

  constructor(
    private readonly api: InfisicalApi,
    private readonly organization: OrganizationCheck,
    private readonly projects: ProjectDirectory,
    private readonly log: LogEvent,
  ) {}

  async of(user: string, context: CallContext): Promise<readonly string[]> {
    // v3 answers with an empty list for another organization than the identity's, so that nothing would be removed.
    await this.organization.require(context);
    const prefix = userSlugPrefix(user);
    const parts = ({ listsByOrganization }: ApiVersion) => {
      if (!listsByOrganization) return {};
      const { organizationId } = this.organization;
      if (organizationId === undefined) throw new StoreUnavailable(NO_ORGANIZATION_YET);
      return { path: { organizationId } };
    };
    const all = await this.api.call('listProjects', parts, parseProjects, context);
    for (const { id, slug } of all) if (slug.startsWith(prefix)) this.#found.set(id, prefix);
    return [...this.#found].flatMap(([id, of]) => (of === prefix ? [id] : []));
  }

  /**
   * Removes a project; one that is created again has another id. All servers answer differently for a project that is gone and
   * for one that the identity is no member of: only the first counts as removed.
   */
  async remove(id: string, context: CallContext): Promise<void> {
    // Real servers answer 500 to all but one of several deletes at once.
    await this.#removals.run(id, () => this.#remove(id, context));
  }

  async #remove(id: string, context: CallContext): Promise<void> {
    const parts = { path: { projectId: id } };
    const remove = () => this.api.call('deleteProject', () => parts, anyBody, context);
    try {
      await remove().catch((error: unknown) => {
        // The server, or another instance, may have deleted it: only another delete shows that.
        if (!leavesIndeterminate(error)) throw error;
        return remove();
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
}
