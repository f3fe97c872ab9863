import { LRUCache } from 'lru-cache';
import type { Project } from '../api/answers';
import { ScopeQueue, type WaitLimit } from '../scope-queue';

/** The projects that were met, by slug; the least used go first. */
export class KnownProjects {
  readonly #bySlug: LRUCache<string, Project>;
  #organizationId: string | undefined;

  constructor(max: number) {
    this.#bySlug = new LRUCache({ max });
  }

  /** Of the last project that told it. */
  get organizationId(): string | undefined {
    return this.#organizationId;
  }

  get(slug: string): Project | undefined {
    return this.#bySlug.get(slug);
  }

  set(slug: string, project: Project): void {
    this.#organizationId = project.organizationId ?? this.#organizationId;
    this.#bySlug.set(slug, project);
  }

  forget(slug: string): void {
    this.#bySlug.delete(slug);
  }

  forgetId(id: string): void {
    const slugs = [...this.#bySlug].filter(([, project]) => project.id === id).map(([slug]) => slug);
    for (const slug of slugs) this.#bySlug.delete(slug);
  }
}

/** New projects whose keys are yet to be made by their first write; those whose first write never came go first. */
export class ProjectInitialisation {
  readonly #cold: LRUCache<string, true>;
  readonly #turns = new ScopeQueue();

  constructor(max: number) {
    this.#cold = new LRUCache({ max });
  }

  add(projectId: string): void {
    this.#cold.set(projectId, true);
  }

  drop(projectId: string): void {
    this.#cold.delete(projectId);
  }

  /** Lets one write of a new project go first: it makes the keys that the others use. */
  async run(projectId: string, write: () => Promise<void>, waitLimit: WaitLimit): Promise<void> {
    const first = async (): Promise<boolean> => {
      if (!this.#cold.has(projectId)) return false;
      await write();
      return this.#cold.delete(projectId);
    };
    const wentFirst = await this.#turns.run(projectId, first, waitLimit);
    if (!wentFirst) await write();
  }
}
