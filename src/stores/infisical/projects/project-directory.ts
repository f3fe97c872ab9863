import { setTimeout as pause } from 'node:timers/promises';
import { StoreUnavailable } from '../../../errors/store-errors';
import { ENVIRONMENTS, type Environment } from '../../../secrets/secret';
import { parseProject, type Project } from '../api/answers';
import type { Deadline } from '../../../time/deadline';
import type { ApiVersion } from '../versions/api-version';
import type { InfisicalApi } from '../api/infisical-api';
import { failedBecause, ranOutOfTime } from '../versions/infisical-call-failed';
import type { LogEvent } from '../../../logging/log';
import { KnownProjects, ProjectInitialisation } from './known-projects';
import type { OrganizationCheck } from './organization-check';
import {
  ENVIRONMENT_NAMES,
  projectDisplayName,
  projectSlug,
  type UserWorkspace,
  foreignProject,
  MAY_NOT_CREATE,
  refusedProject,
  warnOfDuplicates,
  warnOfHeld,
  warnOfLeft,
} from './project-slug';
import { SingleFlight } from '../../../concurrency/single-flight';
import { leavesIndeterminate } from '../versions/indeterminate-write';

export interface DirectorySettings {
  readonly organizationId?: string;
  readonly maxKnownProjects: number;
}

/** How often another instance is given time to finish what it began, where a race would store a thing twice. */
const LOOKS_BEFORE_HELPING = 3;

/** Knows the project of each (user, workspace), and makes it on the first write. */
export class ProjectDirectory {
  readonly #known: KnownProjects;
  readonly #lookups = new SingleFlight<Project | undefined>();
  readonly #provisions = new SingleFlight<Project>();
  readonly #initialisation: ProjectInitialisation;
  #mayNotCreate = false;

  constructor(
    private readonly api: InfisicalApi,
    private readonly settings: DirectorySettings,
    private readonly organization: OrganizationCheck,
    private readonly log: LogEvent,
  ) {
    this.#known = new KnownProjects(settings.maxKnownProjects);
    this.#initialisation = new ProjectInitialisation(settings.maxKnownProjects);
  }

  /** Undefined for a workspace that was never written: that is asked again each time, another instance may write it. */
  async find(place: UserWorkspace, deadline: Deadline): Promise<Project | undefined> {
    const slug = projectSlug(place);
    const known = this.#known.get(slug);
    if (known !== undefined) return known;
    await this.organization.require(deadline);
    const look = this.#lookups.run(slug, () => this.#findProject(slug, deadline), ranOutOfTime);
    return this.api.shared('findProject', look, deadline);
  }

  /** The project with that environment in it, made where it is missing. Concurrent callers share the work. */
  async provision(place: UserWorkspace, environment: Environment, deadline: Deadline): Promise<Project> {
    const slug = projectSlug(place);
    const known = this.#known.get(slug);
    if (known?.environments.has(environment)) return known;
    await this.organization.require(deadline);
    const work = this.#provisions.run(
      slug,
      () => this.#provision(place, environment, deadline),
      ranOutOfTime,
    );
    const project = await this.api.shared('findProject', work, deadline);
    // The work that was shared may have been for another environment.
    return project.environments.has(environment) ? project : this.provision(place, environment, deadline);
  }

  /** Lets the first write of a new project go before all others. */
  async firstOrAfter(id: string, write: () => Promise<void>, deadline: Deadline): Promise<void> {
    await this.#initialisation.run(id, write, this.api.waitLimit('createSecret', deadline));
  }

  /** After the server said that the project, or an environment of it, is gone. */
  forget(place: UserWorkspace): void {
    this.#known.forget(projectSlug(place));
  }

  /** After the project itself was deleted. */
  forgetId(id: string): void {
    this.#known.forgetId(id);
    this.#initialisation.drop(id);
  }

  /** What an operator should mend although all that is there is served. */
  problems(): readonly string[] {
    return [...this.organization.problems(), ...(this.#mayNotCreate ? [MAY_NOT_CREATE] : [])];
  }

  /** Resolves unless the setting names another organization than the machine identity's. */
  requireOrganization(deadline: Deadline): Promise<void> {
    return this.organization.require(deadline);
  }

  /** As set, or as projects tell it. */
  get organizationId(): string | undefined {
    return this.settings.organizationId ?? this.#known.organizationId;
  }

  async #provision(place: UserWorkspace, environment: Environment, deadline: Deadline): Promise<Project> {
    const slug = projectSlug(place);
    const found = await this.#findProject(slug, deadline);
    if (found === undefined) {
      const created = await this.#create(place, slug, deadline);
      if (created !== undefined) return this.#complete(slug, created, ENVIRONMENTS, deadline);
    }
    const project = found ?? (await this.#findProject(slug, deadline));
    if (project === undefined) throw new StoreUnavailable();
    return this.#complete(
      slug,
      await this.#patiently(slug, project, environment, deadline),
      [environment],
      deadline,
    );
  }

  async #findProject(slug: string, deadline: Deadline): Promise<Project | undefined> {
    try {
      return this.#remember(
        slug,
        await this.api.call('findProject', () => ({ path: { slug } }), parseProject, deadline),
      );
    } catch (error: unknown) {
      if (failedBecause(error, 'notFound:project')) return undefined;
      if (failedBecause(error, 'notAMember', 'permissionDenied')) throw foreignProject(this.log, slug);
      throw error;
    }
  }

  /** Undefined where the slug was taken meanwhile, or where only a look can tell whether it was made. */
  async #create(place: UserWorkspace, slug: string, deadline: Deadline): Promise<Project | undefined> {
    const parts = ({ projectFields }: ApiVersion) => ({
      body: { projectName: projectDisplayName(place), slug, ...projectFields },
    });
    try {
      const project = await this.api.call('createProject', parts, parseProject, deadline);
      this.#mayNotCreate = false;
      await this.#takeBackUnlessOurs(project, slug, deadline);
      this.#initialisation.add(project.id);
      this.log('info', 'infisical_project_created', { project: slug });
      return this.#remember(slug, project);
    } catch (error: unknown) {
      if (failedBecause(error, 'permissionDenied')) this.#creationRefused();
      if (!failedBecause(error, 'alreadyExists:project') && !leavesIndeterminate(error)) throw error;
      return undefined;
    }
  }

  /** Adds what is missing, one after the other: together they would race for one position on the server. */
  async #complete(
    slug: string,
    project: Project,
    wanted: readonly Environment[],
    deadline: Deadline,
  ): Promise<Project> {
    const missing = wanted.find((environment) => !project.environments.has(environment));
    if (missing === undefined) return project;
    const body = { name: ENVIRONMENT_NAMES[missing], slug: missing };
    const path = { projectId: project.id };
    try {
      await this.api.call(
        'createEnvironment',
        () => ({ path, body }),
        (answer) => answer,
        deadline,
      );
    } catch (error: unknown) {
      const seen = await this.#afterFailedEnvironment(error, slug, missing, deadline);
      return this.#complete(slug, seen, wanted, deadline);
    }
    const grown = { ...project, environments: new Set([...project.environments, missing]) };
    return this.#complete(slug, this.#remember(slug, grown), wanted, deadline);
  }

  /** The project as it is now, if the environment came to be after all, or was only pushed aside by another. */
  async #afterFailedEnvironment(
    error: unknown,
    slug: string,
    missing: Environment,
    deadline: Deadline,
  ): Promise<Project> {
    if (failedBecause(error, 'environmentHeld')) warnOfHeld(this.log, slug, missing);
    if (!failedBecause(error, 'alreadyExists:environment', 'conflict') && !leavesIndeterminate(error))
      throw error;
    const seen = await this.#findProject(slug, deadline);
    if (seen === undefined) throw error;
    if (!seen.environments.has(missing) && !failedBecause(error, 'conflict')) throw error;
    return seen;
  }

  /** The instance that made the project adds its environments; two that add one at once can leave it there twice. */
  async #patiently(
    slug: string,
    project: Project,
    needed: Environment,
    deadline: Deadline,
  ): Promise<Project> {
    if ((await this.api.apiVersion(deadline)).environmentsAreUnique) return project;
    let seen = project;
    for (let look = 1; look <= LOOKS_BEFORE_HELPING && !seen.environments.has(needed); look++) {
      await pause((0.5 + Math.random()) * 200 * look);
      seen = (await this.#findProject(slug, deadline)) ?? seen;
    }
    return seen;
  }

  /** Where the server tells its organization with its projects alone, nothing may be left of the one that showed it. */
  async #takeBackUnlessOurs(project: Project, slug: string, deadline: Deadline): Promise<void> {
    try {
      this.organization.requireOurs(project, slug);
    } catch (error: unknown) {
      const path = { projectId: project.id };
      await this.api
        .call(
          'deleteProject',
          () => ({ path }),
          (answer) => answer,
          deadline,
        )
        .catch(() => warnOfLeft(this.log, slug));
      throw error;
    }
  }

  #creationRefused(): void {
    if (!this.#mayNotCreate) refusedProject(this.log);
    this.#mayNotCreate = true;
  }

  #remember(slug: string, project: Project): Project {
    this.organization.requireOurs(project, slug);
    this.#known.set(slug, project);
    warnOfDuplicates(this.log, slug, project);
    return project;
  }
}
