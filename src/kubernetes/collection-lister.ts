import { setImmediate } from 'node:timers/promises';
import { keyOf, type KubeObject, readPage } from './kube-object';
import type { KubernetesApi } from './kubernetes-api';
import { failureOf } from './kubernetes-failure';
import type { Held, WatchedCollectionOptions } from './watched-collection-options';

const PAGE_SIZE = 500;
const PAGE_TIMEOUT_MS = 30_000;
/** Then everybody else gets their turn. */
const READ_AT_ONCE_MS = 10;

export interface FullList<T> {
  readonly objects: Map<string, Held<T>>;
  readonly version: string;
}

/** Reads a collection page by page. It is all of it or nothing: half a list would revoke the other half. */
export class CollectionLister<T> {
  /** What list and watch both must ask for. */
  readonly selection: Readonly<Record<string, string>>;
  /** In pages, until a list takes so long that its later pages are Gone: then in one piece. */
  private paged = true;

  constructor(
    private readonly options: Pick<
      WatchedCollectionOptions<T>,
      'path' | 'labelSelector' | 'fieldSelector' | 'read'
    >,
    private readonly api: KubernetesApi,
  ) {
    const { labelSelector, fieldSelector } = options;
    this.selection = {
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
    };
  }

  /** @param before lends what it read from the same version of an object @throws KubernetesFailure */
  async list(before: ReadonlyMap<string, Held<T>>, signal: AbortSignal): Promise<FullList<T>> {
    const objects = new Map<string, Held<T>>();
    let next: string | undefined;
    for (;;) {
      const page = readPage(await this.page(next, signal));
      let readingSinceMs = performance.now();
      for (const object of page.objects) {
        if (performance.now() - readingSinceMs > READ_AT_ONCE_MS) {
          await setImmediate();
          readingSinceMs = performance.now();
        }
        const key = keyOf(object.namespace, object.name);
        objects.set(key, this.held(object, before.get(key)));
      }
      next = page.next;
      if (next === undefined) {
        this.paged = true;
        return { objects, version: page.version };
      }
    }
  }

  private async page(next: string | undefined, signal: AbortSignal): Promise<unknown> {
    const query = {
      ...this.selection,
      ...(this.paged ? { limit: String(PAGE_SIZE) } : {}),
      ...(next === undefined ? {} : { continue: next }),
    };
    const call = {
      method: 'GET',
      path: this.options.path,
      query,
      timeoutMs: PAGE_TIMEOUT_MS,
      signal,
    } as const;
    try {
      return await this.api.send(call);
    } catch (error: unknown) {
      if (next !== undefined && failureOf(error).gone) this.paged = false;
      throw error;
    }
  }

  private held(object: KubeObject, before: Held<T> | undefined): Held<T> {
    // After a restored backup a version may come again, for another object.
    const { version, uid } = object;
    if (before?.version === version && before.uid === uid) return before;
    return { version, uid, value: this.options.read(object) };
  }
}
