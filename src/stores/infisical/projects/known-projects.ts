import { LRUCache } from 'lru-cache';
import type { Project } from '../api/answers';
import { KeyedMutex } from '../../../concurrency/keyed-mutex';
import type { Wait } from '../../../time/deadline';

/** Caches projects by slug; the least recently used one is evicted first. */
export class KnownProjects {
  readonly #bySlug: LRUCache<string, Project>;
  #organizationId: string | undefined;

  constructor(max: number) {
    this.#bySlug = new LRUCache({ max });
  }

  /** The organization of the last project that named one. */
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
