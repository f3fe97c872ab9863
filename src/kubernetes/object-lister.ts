import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { objectKeyOf, readPage } from './kube-object';
import { type KubernetesApi, kubernetesFailureOf } from './kubernetes-api';
import type { InformerOptions } from './informer-options';

const PAGE_SIZE = 500;
const PAGE_TIMEOUT_MS = 30_000;
/** Then everybody else gets their turn. */
const READ_AT_ONCE_MS = 10;

export interface FullList<T> {
  readonly objects: Map<string, T>;
  readonly version: string;
}

/** Reads a collection page by page. It is all of it or nothing: half a list would revoke the other half. */
export class ObjectLister<T> {
  /** What list and watch both must ask for. */
  readonly selection: Readonly<Record<string, string>>;
  /** In pages, until a list takes so long that its later pages are Gone: then in one piece. */
  private paged = true;

  constructor(
    private readonly options: Pick<InformerOptions<T>, 'path' | 'labelSelector' | 'fieldSelector' | 'read'>,
    private readonly api: KubernetesApi,
  ) {
    const { labelSelector, fieldSelector } = options;
    this.selection = {
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
    };
  }

  /**
   * Every object is read again, since a version says nothing once a backup was restored: other content may have it then.
   * @param before lends the values that are still the same @throws KubernetesFailure
   */
  async list(before: ReadonlyMap<string, T>, signal: AbortSignal): Promise<FullList<T>> {
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
      if (next !== undefined && kubernetesFailureOf(error).gone) this.paged = false;
      throw error;
    }
  }
}
