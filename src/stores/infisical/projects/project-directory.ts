import { setTimeout as pause } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { StoreUnavailable } from '../../../errors/store-errors';
import { ENVIRONMENTS, type Environment, type CallContext, uncancelled } from '../../../secrets/secret';
import { parseProject, type Project } from '../api/answers';
import type { ApiVersion } from '../versions/api-version';
import { anyBody, type InfisicalApi } from '../api/infisical-api';
import {
  failedBecause,
  InfisicalCallFailed,
  isRefusedWrite,
  leavesIndeterminate,
} from '../versions/infisical-call-failed';
import type { LogEvent } from '../../../logging/log';
import type { OrganizationCheck } from './organization-check';
import { ENVIRONMENT_NAMES, PAGE_ADVICE, type ProjectNaming, type UserWorkspace } from './project-slug';
import { KeyedMutex, SingleFlight } from '../../../concurrency/keyed-work';
import type { Wait } from '../../../time/clock';

/** How often a project is read again while another instance may still add the environment, before this one adds it. */
const MAX_ATTEMPTS = 3;

/** Finds the project of each user and workspace, and creates it on the first write. */
export class ProjectDirectory {
  readonly #reads = new SingleFlight<Project | undefined>();
  readonly #provisions = new SingleFlight<Project>();
  /** By slug; the least recently used one is evicted first. */
  readonly #known: LRUCache<string, Project>;
  readonly #initialisation: ProjectInitialisation;
  #mayNotCreate = false;

  constructor(
    private readonly api: InfisicalApi,
    private readonly organization: OrganizationCheck,
    private readonly log: LogEvent,
    private readonly naming: ProjectNaming,
    maxKnownProjects: number,
  ) {
    this.#known = new LRUCache({ max: maxKnownProjects });
    this.#initialisation = new ProjectInitialisation(maxKnownProjects);
  }

  /** Returns undefined for a workspace that was never written. That is not cached, as another instance may write it. */
  async find(owner: UserWorkspace, context: CallContext): Promise<Project | undefined> {
    const slug = this.naming.slug(owner);
    const known = this.#known.get(slug);
    if (known !== undefined) return known;
    await this.organization.require(context);
    const find = (shared: CallContext) => this.#findProject(slug, shared);
    return this.api.joined(this.#reads, slug, 'findProject', find, context);
  }

  /** Returns the project with that environment, created where it is missing. Concurrent callers share the work. */
  async provision(owner: UserWorkspace, environment: Environment, context: CallContext): Promise<Project> {
    const slug = this.naming.slug(owner);
    const known = this.#known.get(slug);
    if (known?.environments.has(environment)) return known;
    await this.organization.require(context);
    const make = (shared: CallContext) => this.#provision(owner, environment, shared);
    const project = await this.api.joined(this.#provisions, slug, 'findProject', make, context);
    // The shared work may have been for another environment.
    return project.environments.has(environment) ? project : this.provision(owner, environment, context);
  }

  /** Sends the first write to a new project before all others. */
  async firstOrAfter(id: string, write: () => Promise<void>, context: CallContext): Promise<void> {
    await this.#initialisation.run(id, write, this.api.waitOf('createSecret', context));
  }

  /** Removes a project from the cache after the server answered that it, or an environment of it, is gone. */
  forget(owner: UserWorkspace): void {
    this.#known.delete(this.naming.slug(owner));
  }

  forgetId(id: string): void {
    for (const [slug, project] of [...this.#known]) if (project.id === id) this.#known.delete(slug);
    this.#initialisation.drop(id);
  }

  /** Returns one sentence for each problem that an operator should fix although existing projects work. */
  problems(): readonly string[] {
    return [...this.organization.problems(), ...(this.#mayNotCreate ? [PAGE_ADVICE.mayNotCreate] : [])];
  }

  async #provision(owner: UserWorkspace, environment: Environment, context: CallContext): Promise<Project> {
    const slug = this.naming.slug(owner);
    const found = await this.#findProject(slug, context);
    if (found === undefined) {
      const created = await this.#create(owner, slug, context);
      // What was begun is finished: others would wait in vain for its environments.
      if (created !== undefined)
        return this.#complete(slug, created, ENVIRONMENTS, environment, uncancelled(context));
    }
    const project = found ?? (await this.#findProject(slug, context));
    if (project === undefined) throw new StoreUnavailable();
    const latest = await this.#waitForEnvironment(slug, project, environment, context);
    return this.#complete(slug, latest, [environment], environment, context);
  }

  async #findProject(slug: string, context: CallContext): Promise<Project | undefined> {
    try {
      const project = await this.api.call('findProject', () => ({ path: { slug } }), parseProject, context);
      return this.#remember(slug, project);
    } catch (error: unknown) {
      if (failedBecause(error, 'notFound:project')) return undefined;
      if (!failedBecause(error, 'notAMember', 'permissionDenied')) throw error;
      this.log('warn', 'infisical_project_foreign', { project: slug, advice: PAGE_ADVICE.foreignProject });
      throw new StoreUnavailable();
    }
  }

  /** Returns undefined where the slug was taken meanwhile, or the outcome is unknown until the project is read. */
  async #create(owner: UserWorkspace, slug: string, context: CallContext): Promise<Project | undefined> {
    const parts = ({ projectFields }: ApiVersion) => ({
      body: { projectName: this.naming.displayName(owner), slug, ...projectFields },
    });
    try {
      const project = await this.api.call('createProject', parts, parseProject, context);
      this.#mayNotCreate = false;
      await this.#deleteUnlessOurs(project, slug, uncancelled(context));
      this.#initialisation.add(project.id);
      this.log('info', 'infisical_project_created', { project: slug });
      return this.#remember(slug, project);
    } catch (error: unknown) {
      if (failedBecause(error, 'permissionDenied')) {
        if (!this.#mayNotCreate)
          this.log('warn', 'infisical_project_refused', { advice: PAGE_ADVICE.mayNotCreate });
        this.#mayNotCreate = true;
      }
      if (!failedBecause(error, 'alreadyExists:project') && !leavesIndeterminate(error)) throw error;
      return undefined;
    }
  }

  /**
   * Adds the missing environments one after the other: at once they would race for one position on the server. One that Infisical
   * refuses, as where a plan allows three, is left out unless it is needed.
   */
  async #complete(
    slug: string,
    project: Project,
    wanted: readonly Environment[],
    needed: Environment,
    context: CallContext,
  ): Promise<Project> {
    const missing = wanted.find((environment) => !project.environments.has(environment));
    if (missing === undefined) return project;
    const body = { name: ENVIRONMENT_NAMES[missing], slug: missing };
    const parts = { path: { projectId: project.id }, body };
    try {
      await this.api.call('createEnvironment', () => parts, anyBody, context);
    } catch (error: unknown) {
      const isRefused = error instanceof InfisicalCallFailed && isRefusedWrite(error);
      if (isRefused && missing !== needed) return this.#complete(slug, project, [needed], needed, context);
      const latest = await this.#readAfterFailure(error, slug, missing, context);
      return this.#complete(slug, latest, wanted, needed, context);
    }
    const extended = { ...project, environments: new Set([...project.environments, missing]) };
    return this.#complete(slug, this.#remember(slug, extended), wanted, needed, context);
  }

  /** Returns the project as it is now, where the environment exists after all, or only conflicted with another one. @throws the error */
  async #readAfterFailure(
    error: unknown,
    slug: string,
    missing: Environment,
    context: CallContext,
  ): Promise<Project> {
    const advice = PAGE_ADVICE.heldEnvironment;
    if (failedBecause(error, 'environmentHeld'))
      this.log('warn', 'infisical_environment_slug_held', { project: slug, environment: missing, advice });
    if (!failedBecause(error, 'alreadyExists:environment', 'conflict') && !leavesIndeterminate(error))
      throw error;
    const latest = await this.#findProject(slug, context);
    if (latest === undefined) throw error;
    if (!latest.environments.has(missing) && !failedBecause(error, 'conflict')) throw error;
    return latest;
  }

  /** Waits for the instance that created the project to add its environments: two that add one at once can store it twice. */
  async #waitForEnvironment(
    slug: string,
    project: Project,
    needed: Environment,
    context: CallContext,
  ): Promise<Project> {
    if ((await this.api.apiVersion(context)).environmentsAreUnique) return project;
    let latest = project;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS && !latest.environments.has(needed); attempt++) {
      await pause((0.5 + Math.random()) * 200 * attempt);
      context.signal.throwIfAborted();
      latest = (await this.#findProject(slug, context)) ?? latest;
    }
    return latest;
  }

  /** Deletes a new project of another organization: some servers show their organization only with a project. @throws StoreUnavailable */
  async #deleteUnlessOurs(project: Project, slug: string, context: CallContext): Promise<void> {
    try {
      this.organization.requireOurs(project, slug);
    } catch (error: unknown) {
      const parts = { path: { projectId: project.id } };
      const advice = PAGE_ADVICE.leftProject;
      await this.api
        .call('deleteProject', () => parts, anyBody, context)
        .catch(() => this.log('warn', 'infisical_project_left_behind', { project: slug, advice }));
      throw error;
    }
  }

  #remember(slug: string, project: Project): Project {
    this.organization.requireOurs(project, slug);
    this.#known.set(slug, project);
    const advice = PAGE_ADVICE.duplicateEnvironments;
    for (const environment of ENVIRONMENTS.filter((one) => project.duplicateEnvironments.has(one)))
      this.log('warn', 'infisical_environment_duplicated', { project: slug, environment, advice });
    return project;
  }
}

/** Knows the new projects that had no write yet: their first write makes the server create their keys. */
export class ProjectInitialisation {
  readonly #uninitialised: LRUCache<string, true>;
  readonly #queue = new KeyedMutex();

  constructor(max: number) {
    this.#uninitialised = new LRUCache({ max });
  }

  add(projectId: string): void {
    this.#uninitialised.set(projectId, true);
  }

  drop(projectId: string): void {
    this.#uninitialised.delete(projectId);
  }

  /** Sends one write to a new project before the others: it creates the keys that they use. */
  async run(projectId: string, write: () => Promise<void>, wait: Wait): Promise<void> {
    const writeFirst = async (): Promise<boolean> => {
      if (!this.#uninitialised.has(projectId)) return false;
      await write();
      return this.#uninitialised.delete(projectId);
    };
    const wasFirst = await this.#queue.run(projectId, writeFirst, wait);
    if (!wasFirst) await write();
  }
}
