import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { objectKeyOf, readPage } from './kube-object';
import { type KubernetesApi, kubernetesFailureOf } from './kubernetes-api';
import type { InformerOptions } from './informer-options';

const PAGE_SIZE = 500;
const PAGE_TIMEOUT_MS = 30_000;
/** After this time other work of the event loop gets a chance. */
const READ_AT_ONCE_MS = 10;

export interface FullList<T> {
  readonly objects: Map<string, T>;
  readonly version: string;
}

/** Lists a collection page by page, completely or not at all: half a list would revoke the other half. */
export class ObjectLister<T> {
  /** The selectors, which list and watch must share. */
  readonly selection: Readonly<Record<string, string>>;
  /** False after a list took so long that a later page was Gone: the next one is asked for in one piece. */
  private paged = true;
  /** Smaller once a page was too large. */
  private pageSize = PAGE_SIZE;

  constructor(
    private readonly options: Pick<
      InformerOptions<T>,
      'path' | 'labelSelector' | 'fieldSelector' | 'maxPageBytes' | 'read'
    >,
    private readonly api: KubernetesApi,
  ) {
    const { labelSelector, fieldSelector } = options;
    this.selection = {
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
    };
  }

  /**
   * Reads every object again: after a backup was restored, an equal version may have other content.
   * @param before the previous values, which are reused where they are deeply equal
   * @throws KubernetesFailure
   */
  async list(before: ReadonlyMap<string, T>, signal: AbortSignal): Promise<FullList<T>> {
    this.pageSize = PAGE_SIZE;
    const objects = new Map<string, T>();
    let next: string | undefined;
    for (;;) {
      const page = readPage(await this.page(next, signal));
      let readingSinceMs = performance.now();
      for (const object of page.objects) {
        if (performance.now() - readingSinceMs > READ_AT_ONCE_MS) {
          await setImmediate();
          readingSinceMs = performance.now();
        }
        const key = objectKeyOf(object.namespace, object.name);
        const [known, value] = [before.get(key), this.options.read(object)];
        objects.set(key, known !== undefined && isDeepStrictEqual(known, value) ? known : value);
      }
      next = page.next;
      if (next === undefined) {
        this.paged = true;
        return { objects, version: page.version };
      }
    }
  }

  private async page(next: string | undefined, signal: AbortSignal): Promise<unknown> {
    const { path, maxPageBytes: maxBytes } = this.options;
    for (;;) {
      const query = {
        ...this.selection,
        ...(this.paged ? { limit: String(this.pageSize) } : {}),
        ...(next === undefined ? {} : { continue: next }),
      };
      try {
        const limit = maxBytes === undefined ? {} : { maxBytes };
        return await this.api.send({
          method: 'GET',
          path,
          query,
          timeoutMs: PAGE_TIMEOUT_MS,
          signal,
          ...limit,
        });
      } catch (error: unknown) {
        const failure = kubernetesFailureOf(error);
        if (next !== undefined && failure.gone) this.paged = false;
        if (failure.reason !== 'TooLarge' || (this.paged && this.pageSize === 1)) throw error;
        if (this.paged) this.pageSize = Math.ceil(this.pageSize / 8);
        this.paged = true;
      }
    }
  }
}
