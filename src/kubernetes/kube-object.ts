import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { ownField } from '../json/json';
import { type KubernetesApi, KubernetesFailure, kubernetesFailureOf } from './kubernetes-api';

const NUMBER = /^\d{1,20}$/;

/** One object of the API as it was received; only its `metadata` is checked. */
export interface KubeObject {
  readonly namespace: string;
  readonly name: string;
  readonly version: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a watch tells; after a bookmark, nothing happened up to this version. */
type ObjectEvent =
  | { readonly type: 'put' | 'removed'; readonly object: KubeObject }
  | { readonly type: 'bookmark'; readonly version: string };

/** Compares versions where they are numbers, as those of every API server are; else returns false. */
export function isOlder(version: string, than: string): boolean {
  return NUMBER.test(version) && NUMBER.test(than) && BigInt(version) < BigInt(than);
}

/** Returns `<namespace>/<name>`, or the name alone without a namespace: neither part can have a slash. */
export function objectKeyOf(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

/** Returns the namespace in the key of an object that has one. */
export function namespaceInKey(key: string): string {
  return key.slice(0, key.indexOf('/'));
}

/** True for an object that only a finalizer still holds. */
export function isBeingDeleted({ body }: KubeObject): boolean {
  return ownField(body['metadata'], 'deletionTimestamp') !== undefined;
}

/** Returns when an object was created, in milliseconds since the epoch; 0 where that is not known. */
export function createdAtMs({ body }: KubeObject): number {
  return Date.parse(String(ownField(body['metadata'], 'creationTimestamp'))) || 0;
}

export function labelOf({ body }: KubeObject, name: string): unknown {
  return ownField(ownField(body['metadata'], 'labels'), name);
}

export function annotationOf({ body }: KubeObject, name: string): unknown {
  return ownField(ownField(body['metadata'], 'annotations'), name);
}

/** Parses one page of a list; `next` is where the next one begins, undefined on the last one. @throws KubernetesFailure */
function readPage(answer: unknown) {
  const { metadata, items } = recordOf(answer);
  const { resourceVersion, continue: next } = recordOf(metadata);
  // A Go server writes an empty list as null.
  const list: unknown = items ?? [];
  if (!Array.isArray(list) || !isVersion(resourceVersion)) throw new KubernetesFailure('MalformedAnswer');
  return {
    objects: list.map(readObject),
    version: resourceVersion,
    next: typeof next === 'string' && next !== '' ? next : undefined,
  };
}

/** Parses one event of a watch. @throws KubernetesFailure, for an `ERROR` event the one that it states */
export function readEvent(line: unknown): ObjectEvent {
  const { type, object } = recordOf(line);
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
      return { type: 'put', object: readObject(object) };
    case 'DELETED':
      return { type: 'removed', object: readObject(object) };
    case 'BOOKMARK': {
      const version = recordOf(recordOf(object)['metadata'])['resourceVersion'];
      if (isVersion(version)) return { type: 'bookmark', version };
      break;
    }
    case 'ERROR': {
      const { code, reason } = recordOf(object);
      const status = typeof code === 'number' ? code : 500;
      throw new KubernetesFailure(reason === 'Expired' ? reason : 'WatchError', status);
    }
  }
  throw new KubernetesFailure('MalformedAnswer');
}

function readObject(value: unknown): KubeObject {
  const body = recordOf(value);
  const { namespace = '', name, resourceVersion } = recordOf(body['metadata']);
  if (typeof namespace === 'string' && typeof name === 'string' && isVersion(resourceVersion)) {
    return { namespace, name, version: resourceVersion, body };
  }
  throw new KubernetesFailure('MalformedAnswer');
}

function isVersion(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw new KubernetesFailure('MalformedAnswer');
}

const PAGE_SIZE = 500;
/** The `maxPageBytes` of a kind that an app's own chart may make, large and many. */
export const STRANGERS_PAGE_BYTES = 16 * 1024 * 1024;
const PAGE_TIMEOUT_MS = 30_000;
/** After this time other work of the event loop gets a chance. */
const READ_AT_ONCE_MS = 10;

/** What is listed, and watched. */
export interface ListOptions<T> {
  /** Such as `/apis/sys.bytetrade.io/v1alpha1/applicationpermissions`, for all namespaces. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** A larger page of a list is asked for again with fewer objects, so that objects of strangers cannot fill our memory. */
  readonly maxPageBytes?: number;
  /** Returns the part of an object that is needed, so that the rest of 100,000 objects is not held. It must not throw. */
  readonly read: (object: KubeObject) => T;
  /** Ends a list at the first object of which it is true. */
  readonly until?: (value: T) => boolean;
}

/** Lists a collection page by page, completely or not at all: half a list would revoke the other half. */
export class ObjectLister<T> {
  /** False after a list took so long that a later page was Gone: the next one is asked for in one piece. */
  private paged = true;
  /** Smaller once a page was too large. */
  private pageSize = PAGE_SIZE;

  constructor(
    private readonly options: ListOptions<T>,
    private readonly api: KubernetesApi,
  ) {}

  /**
   * Reads every object again: after a backup was restored, an equal version may have other content.
   * @param before the previous values, which are reused where they are deeply equal
   * @throws KubernetesFailure
   */
  async list(
    before: ReadonlyMap<string, T>,
    signal?: AbortSignal,
  ): Promise<{ readonly objects: Map<string, T>; readonly version: string }> {
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
        if (this.options.until?.(value) === true) return { objects, version: page.version };
      }
      next = page.next;
      if (next === undefined) {
        this.paged = true;
        return { objects, version: page.version };
      }
    }
  }

  private async page(next: string | undefined, signal: AbortSignal | undefined): Promise<unknown> {
    const { path, labelSelector, fieldSelector, maxPageBytes: maxBytes } = this.options;
    for (;;) {
      const limit = this.paged ? String(this.pageSize) : undefined;
      const query = { labelSelector, fieldSelector, limit, continue: next };
      try {
        return await this.api.send({
          method: 'GET',
          path,
          query,
          timeoutMs: PAGE_TIMEOUT_MS,
          signal,
          maxBytes,
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
