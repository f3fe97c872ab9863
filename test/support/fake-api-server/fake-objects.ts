/** The metadata that every Kubernetes object has. */
export interface KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly resourceVersion?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: unknown;
}

/** The label and field selectors of a query. */
export interface Selectors {
  readonly labels?: string | null | undefined;
  readonly fields?: string | null | undefined;
}

/** Returns the event that a watch with these selectors gets for a change; undefined for none. */
export function seenBy(selector: Selectors, { type, object, before }: Remembered): WatchEvent | undefined {
  const now = matches(object, selector);
  const then = before !== undefined && matches(before, selector);
  if (type !== 'MODIFIED') return now ? { type, object } : undefined;
  if (now) return { type: then ? 'MODIFIED' : 'ADDED', object };
  return then ? { type: 'DELETED', object } : undefined;
}

export interface Remembered extends WatchEvent {
  readonly version: number;
  readonly object: KubeObject;
  /** The object before the change, which a selector may have matched. */
  readonly before?: KubeObject;
}

/** One collection, such as all ApplicationPermissions, with the history that watches resume from. */
export class FakeObjects {
  private readonly objects = new Map<string, KubeObject>();
  private readonly history: Remembered[] = [];
  private readonly listeners = new Set<(event: Remembered) => void>();
  /** Versions before this one are Gone. */
  compactedAt = 0;

  constructor(private readonly nextVersion: () => number) {}

  put(object: KubeObject): KubeObject {
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    const version = this.nextVersion();
    const stored: KubeObject = {
      ...object,
      metadata: {
        ...object.metadata,
        resourceVersion: String(version),
        uid: this.objects.get(key)?.metadata['uid'] ?? `uid-${version}`,
      },
    };
    const before = this.objects.get(key);
    this.objects.set(key, stored);
    if (before) this.remember({ type: 'MODIFIED', object: stored, before, version });
    else this.remember({ type: 'ADDED', object: stored, version });
    return stored;
  }

  /** Replaces all objects without events and without history. */
  restore(objects: readonly KubeObject[], version: number): void {
    this.objects.clear();
    for (const object of objects)
      this.objects.set(keyOf(object.metadata.namespace, object.metadata.name), object);
    this.history.length = 0;
    this.compactedAt = version;
  }

  get(namespace: string | undefined, name: string): KubeObject | undefined {
    return this.objects.get(keyOf(namespace, name));
  }

  delete(namespace: string | undefined, name: string): KubeObject | undefined {
    const key = keyOf(namespace, name);
    const object = this.objects.get(key);
    if (object === undefined) return undefined;
    this.objects.delete(key);
    const version = this.nextVersion();
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    this.remember({ type: 'DELETED', object: last, version });
    return last;
  }

  /** Sorted by their keys, as etcd pages through them. */
  list(namespace?: string, selector: Selectors = {}): readonly KubeObject[] {
    return [...this.objects]
      .filter(([, object]) => namespace === undefined || object.metadata.namespace === namespace)
      .filter(([, object]) => matches(object, selector))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }

  since(version: number): readonly Remembered[] {
    return this.history.filter((event) => event.version > version);
  }

  onEvent(listener: (event: Remembered) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private remember(event: Remembered): void {
    this.history.push(event);
    for (const listener of this.listeners) listener(event);
  }
}

/** Equality selectors, which are all that we send. */
export function matches(object: KubeObject, { labels, fields }: Selectors): boolean {
  const fieldAt = (path: string): unknown =>
    path
      .split('.')
      .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], object);
  return (
    terms(labels).every(([label, value]) => object.metadata.labels?.[label] === value) &&
    terms(fields).every(([path, value]) => fieldAt(path) === value)
  );
}

function terms(selector: string | null | undefined): readonly (readonly [string, string | undefined])[] {
  const written = (selector ?? '').split(',').filter((term) => term !== '');
  return written.map((term) => {
    const [name = '', value] = term.split('=');
    return [name, value];
  });
}

function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}
