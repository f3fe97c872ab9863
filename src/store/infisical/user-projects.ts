import type { StoredWorkspace } from '../../secrets/secret-store';
import { StoreUnavailable } from '../../errors/store-errors';
import { parseProjects } from './answers';
import type { Deadline } from './deadline';
import type { Dialect } from './dialect';
import type { InfisicalApi } from './infisical-api';
import { failedBecause } from './infisical-call-failed';
import type { Log } from './infisical-options';
import type { ProjectDirectory } from './project-directory';
import { userSlugPrefix } from './project-slug';
import { SingleFlight } from './single-flight';
import { leavesDoubt } from './write-doubt';

/**
 * The projects of one user: those of the machine identity whose slugs begin with the user's part. A project that the
 * identity lost its membership of is not among them.
 */
export class UserProjects {
  readonly #removals = new SingleFlight<void>();

  constructor(
    private readonly api: InfisicalApi,
    private readonly projects: ProjectDirectory,
    private readonly log: Log,
  ) {}

  async of(user: string, deadline: Deadline): Promise<readonly StoredWorkspace[]> {
    const prefix = userSlugPrefix(user);
    const dialect = await this.api.dialect(deadline);
    const organizationId = dialect.listsByOrganization
      ? await this.#organizationBy(user, deadline)
      : undefined;
    const parts = ({ listsByOrganization }: Dialect) => {
      if (!listsByOrganization) return {};
      // Another server took the place of one that needs no organization: the next attempt knows.
      if (organizationId === undefined) throw new StoreUnavailable();
      return { path: { organizationId } };
    };
    const all = await this.api.call('listProjects', parts, parseProjects, deadline);
    return all.filter(({ slug }) => slug.startsWith(prefix)).map(({ id }) => ({ id }));
  }

  /** Ids are given once: a project that is made anew has another. Who is no member any more sees it nowhere. */
  async remove({ id }: StoredWorkspace, deadline: Deadline): Promise<void> {
    // Real servers answer 500 to all but one of several deletes at once.
    await this.#removals.run(id, () => this.#remove(id, deadline));
  }

  async #remove(id: string, deadline: Deadline): Promise<void> {
    try {
      await this.#delete(id, deadline).catch((error: unknown) => {
        // The server may have done it, or another instance has: nothing else tells than to ask for it again.
        if (!leavesDoubt(error)) throw error;
        return this.#delete(id, deadline);
      });
      this.log('infisical.project.removal.succeeded', { project: id });
    } catch (error: unknown) {
      if (!failedBecause(error, 'notFound:project', 'notAMember')) throw error;
    } finally {
      this.projects.forgetId(id);
    }
  }

  async #delete(projectId: string, deadline: Deadline): Promise<void> {
    await this.api.call(
      'deleteProject',
      () => ({ path: { projectId } }),
      (answer) => answer,
      deadline,
    );
  }

  /** Only projects tell the identity its organization: where none is known yet, one of this user's is made to ask. */
  async #organizationBy(user: string, deadline: Deadline): Promise<string> {
    const known = this.projects.organizationId;
    if (known !== undefined) return known;
    const probe = { user, workspace: '' };
    const { organizationId } = await this.projects.provision(probe, 'prod', deadline);
    if (organizationId === undefined) throw new StoreUnavailable('Infisical does not tell its organization.');
    return organizationId;
  }
}
