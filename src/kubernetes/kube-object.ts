import { KubernetesFailure } from './kubernetes-api';

const NUMBER = /^\d{1,20}$/;

/** One object of the API as it was received; only its `metadata` is checked. */
export interface KubeObject {
  readonly namespace: string;
  readonly name: string;
  readonly version: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface ObjectPage {
  readonly objects: readonly KubeObject[];
  readonly version: string;
  /** Where the next page begins; undefined on the last one. */
  readonly next: string | undefined;
}

export interface ObjectEvent {
  readonly type: 'put' | 'removed';
  readonly object: KubeObject;
}

/** A `BOOKMARK` event: nothing happened up to this version. */
export interface Bookmark {
  readonly type: 'bookmark';
  readonly version: string;
}

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

/** Parses one page of a list. @throws KubernetesFailure */
export function readPage(answer: unknown): ObjectPage {
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
export function readEvent(line: unknown): ObjectEvent | Bookmark {
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
