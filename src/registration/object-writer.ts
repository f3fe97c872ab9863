import { type KubernetesApi, KubernetesFailure } from '../kubernetes/kubernetes-api';
import type { RegistrationObject } from './manifests';
import { digestOf } from './observed-object';

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
    const { name } = manifest.metadata;
    const body = uid === undefined ? manifest : { ...manifest, metadata: { ...manifest.metadata, uid } };
    const path = `${this.pathOf(manifest)}/${name}`;
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

  private send(call: {
    readonly method: 'POST' | 'PATCH' | 'DELETE';
    readonly path: string;
    readonly body: unknown;
  }): Promise<unknown> {
    return this.api.send({ ...call, timeoutMs: TIMEOUT_MS, signal: this.signal });
  }
}

/** The API server silently drops fields that the schema of the kind does not have. @throws KubernetesFailure */
function requireFields(answer: unknown, manifest: RegistrationObject): void {
  if (digestOf(answer, manifest) !== digestOf(manifest, manifest))
    throw new KubernetesFailure('FieldsDropped');
}
