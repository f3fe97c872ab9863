import { LRUCache } from 'lru-cache';
import type { Project } from './answers';

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
