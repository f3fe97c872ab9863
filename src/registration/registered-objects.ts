import { hash } from 'node:crypto';
import { PROVIDER, SECRET_OPERATIONS } from '../authz/grant';
import { ownField } from '../json/json';
import type { KubeObject } from '../kubernetes/kube-object';
import { type ApiCall, type KubernetesApi, KubernetesFailure } from '../kubernetes/kubernetes-api';

/** The address of this service inside the cluster: `<service>.<namespace>:<port>`. */
export interface ProviderEndpoint {
  readonly service: string;
  readonly namespace: string;
  readonly port: number;
}

/** An object as this service wants it; other fields of it are left alone. */
export interface RegistrationObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    /** Absent for a kind of the whole cluster. */
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** Something that registers this service in the cluster and keeps it so. */
export abstract class Registration {
  /** Starts to register; to be called once the service listens, since whatever is registered is called. */
  abstract start(): void;
  /** Returns what an operator should fix, one sentence each. */
  abstract problems(): readonly string[];
  /** Returns, by plural, how many objects cannot be created, patched or removed. */
  abstract failing(): ReadonlyMap<string, number>;
  /** Resolves when nothing is written any more; registered objects stay. */
  abstract close(): Promise<void>;
}

/** The label of our objects, by which the reconciler and the uninstall find them. */
export const OURS = { 'app.kubernetes.io/managed-by': 'olares-secret-provider' } as const;

/** OURS as a label selector. */
export const OURS_SELECTOR = Object.entries(OURS)
  .map(([label, value]) => `${label}=${value}`)
  .join(',');

/** The name of our ProviderRegistry in the namespace of each user. */
export const PROVIDER_REGISTRY = 'secret-provider';

const EVENTS = { 'user.create': '/user/create', 'user.delete': '/user/delete' } as const;

/** Returns the object that makes us the provider of one user, for their system-server (contract, section 5). */
export function providerRegistry(endpoint: ProviderEndpoint, namespace: string): RegistrationObject {
  return {
    apiVersion: 'sys.bytetrade.io/v1alpha1',
    kind: 'ProviderRegistry',
    metadata: { name: PROVIDER_REGISTRY, namespace, labels: OURS },
    spec: {
      kind: 'provider',
      ...PROVIDER,
      deployment: endpoint.service,
      namespace: endpoint.namespace,
      endpoint: addressOf(endpoint),
      opApis: SECRET_OPERATIONS.map((name) => ({ name, uri: `/${name}` })),
    },
    status: { state: 'active' },
  };
}

/** Returns the objects that subscribe us to the events of created and deleted users (contract, section 7). */
export function sysEventRegistries(endpoint: ProviderEndpoint): readonly RegistrationObject[] {
  return Object.entries(EVENTS).map(([event, path]) => ({
    apiVersion: 'apr.bytetrade.io/v1alpha1',
    kind: 'SysEventRegistry',
    metadata: {
      name: `secret-provider-${event.replace('.', '-')}`,
      namespace: endpoint.namespace,
      labels: OURS,
    },
    spec: { type: 'subscriber', event, callback: `http://${addressOf(endpoint)}${path}` },
  }));
}

export function addressOf({ service, namespace, port }: ProviderEndpoint): string {
  return `${service}.${namespace}:${port}`;
}

export interface ObserveOptions {
  /** Returns a manifest with the fields that are kept, whatever their values; undefined for a name of none of our objects. */
  readonly shapeOf: (namespace: string, name: string) => RegistrationObject | undefined;
  /** Returns true for an object that this service made, so that it may be changed. All of a known name by default. */
  readonly isOurs?: (object: KubeObject) => boolean;
  /** Returns true for an object that is not ours, but serves the same purpose. */
  readonly isConflict?: (object: KubeObject) => boolean;
}

/** An object of the cluster, as much of it as is compared. */
export type Observed =
  | { readonly owner: 'us'; readonly digest: string; readonly uid: string | undefined }
  | { readonly owner: 'another' }
  /** Another provider's for the same data. */
  | { readonly owner: 'a conflict' };

/** Returns undefined for an object that does not matter. */
export function observe(object: KubeObject, options: ObserveOptions): Observed | undefined {
  const { namespace, name, body } = object;
  const { shapeOf, isOurs = () => true, isConflict = () => false } = options;
  const shape = shapeOf(namespace, name);
  if (shape === undefined) return isConflict(object) ? { owner: 'a conflict' } : undefined;
  if (!isOurs(object)) return { owner: 'another' };
  const uid = ownField(body['metadata'], 'uid');
  return { owner: 'us', digest: digestOf(body, shape), uid: typeof uid === 'string' ? uid : undefined };
}

/**
 * Returns a digest of the fields that `shape` has, so that 40,000 objects can be compared without being held. An array is one
 * value, with everything in it.
 */
export function digestOf(actual: unknown, shape: RegistrationObject): string {
  return hash('sha256', JSON.stringify(selected(actual, shape)), 'base64');
}

function selected(actual: unknown, shape: unknown): unknown {
  if (!isRecord(shape)) return inOrder(actual);
  const fields = isRecord(actual) ? actual : {};
  return Object.fromEntries(Object.keys(shape).map((name) => [name, selected(fields[name], shape[name])]));
}

/** The API server writes the fields of an object in an order of its own. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (!isRecord(value)) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, inOrder(value[name])]));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const TIMEOUT_MS = 10_000;

/** The path of a collection: `root` is that of the API group, such as `/apis/sys.bytetrade.io/v1alpha1`. */
export function collectionPath(root: string, plural: string, namespace = ''): string {
  return namespace === '' ? `${root}/${plural}` : `${root}/namespaces/${namespace}/${plural}`;
}

/** Writes objects of one kind. Every method throws KubernetesFailure. */
export class ObjectWriter {
  constructor(
    private readonly of: { readonly root: string; readonly plural: string },
    private readonly api: KubernetesApi,
    private readonly signal: AbortSignal,
  ) {}

  async create(manifest: RegistrationObject): Promise<void> {
    const path = this.pathOf(manifest);
    requireFields(await this.send({ method: 'POST', path, body: manifest }), manifest);
  }

  /** @param uid of the object that is meant: another one of its name is a 409 */
  async patch(manifest: RegistrationObject, uid: string | undefined): Promise<void> {
    const body = { ...manifest, metadata: { ...manifest.metadata, uid } };
    const path = `${this.pathOf(manifest)}/${manifest.metadata.name}`;
    requireFields(await this.send({ method: 'PATCH', path, body }), manifest);
  }

  /** @param uid as above */
  async remove(namespace: string, name: string, uid: string | undefined): Promise<void> {
    const path = `${collectionPath(this.of.root, this.of.plural, namespace)}/${name}`;
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } };
    await this.send({ method: 'DELETE', path, body });
  }

  private pathOf({ metadata }: RegistrationObject): string {
    return collectionPath(this.of.root, this.of.plural, metadata.namespace);
  }

  private send(call: Pick<ApiCall, 'method' | 'path' | 'body'>): Promise<unknown> {
    return this.api.send({ ...call, timeoutMs: TIMEOUT_MS, signal: this.signal });
  }
}

/** The API server silently drops fields that the schema of the kind does not have. @throws KubernetesFailure */
function requireFields(answer: unknown, manifest: RegistrationObject): void {
  if (digestOf(answer, manifest) !== digestOf(manifest, manifest))
    throw new KubernetesFailure('FieldsDropped');
}
