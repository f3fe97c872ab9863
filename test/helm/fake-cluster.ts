import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import type { KubeManifest } from './chart';
import { discoveryAnswer } from './fake-discovery';

const OBJECT = /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?$/;

const OPENAPI = { 'content-type': 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf' };

interface Route {
  readonly root: string;
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
}

/** As much of a cluster as `helm install`, `upgrade`, `rollback` and `uninstall` touch: objects that are kept, and no controllers. */
export class FakeCluster {
  /** By path. */
  private readonly objects = new Map<string, KubeManifest>();
  readonly #watches = new Set<{ readonly collection: string; readonly response: ServerResponse }>();
  #version = 1;
  readonly #server: Server = createServer((request, response) => void this.#handle(request, response));

  static async start(): Promise<FakeCluster> {
    const fake = new FakeCluster();
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** As kubectl or the service makes it. */
  put(path: string, object: KubeManifest): void {
    this.objects.set(path, object);
  }

  /** As JSON; '' where it is not there. */
  text(kind: string, name: string): string {
    const is = ({ kind: of, metadata }: KubeManifest) => of === kind && metadata.name === name;
    return [...this.objects.values()].filter(is).map((object) => JSON.stringify(object)).join(''); // prettier-ignore
  }

  remove(kind: string, name: string): void {
    for (const [path, object] of this.objects)
      if (object['kind'] === kind && object['metadata'].name === name) this.objects.delete(path);
  }

  /** `<Kind>/<name>` of everything but Helm's own records. */
  names(): readonly string[] {
    return [...this.objects.values()]
      .filter(({ type }) => type !== 'helm.sh/release.v1')
      .map(({ kind, metadata }) => `${kind}/${metadata.name}`)
      .sort();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const isProtobuf = request.headers['content-type']?.includes('protobuf') === true;
    const sent: unknown = isProtobuf ? secretIn(body) : parse(body.toString('utf8'));
    // No schemas, in protobuf: Helm then validates nothing by itself.
    if (url.pathname === '/openapi/v2') return void response.writeHead(200, OPENAPI).end();
    const known = discoveryAnswer(url.pathname);
    if (known !== undefined) return answer(response, 200, known);
    const [, root = '', namespace, plural = '', name] = OBJECT.exec(url.pathname) ?? [];
    if (plural === '') return refuse(response, 404, 'NotFound');
    if (plural === 'namespaces') return answer(response, 200, namespaceOf(name ?? ''));
    const collection = `${root}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${plural}`;
    const route = { root, collection, namespace, plural, name };
    if (name === undefined && request.method === 'GET') return this.#list(response, route, url.searchParams);
    this.#one(request.method ?? '', response, route, sent as KubeManifest);
  }

  #list(
    response: ServerResponse,
    { root, collection, namespace, plural }: Route,
    query: URLSearchParams,
  ): void {
    const labels = (query.get('labelSelector') ?? '').split(',').filter(Boolean);
    const [, only] = /metadata\.name=([^,]+)/.exec(query.get('fieldSelector') ?? '') ?? [];
    const items = [...this.objects].flatMap(([path, object]) => {
      const [, at, inside, of] = OBJECT.exec(path) ?? [];
      const { name, labels: has = {} } = object['metadata'];
      const isAsked = at === root && of === plural && (namespace === undefined || inside === namespace);
      const isHere = isAsked && (only === undefined || only === name);
      return isHere && labels.every((term) => String(has[term.split('=')[0] ?? '']) === term.split('=')[1])
        ? [object]
        : [];
    });
    const { kind, apiVersion } = kindOf(root, plural);
    const metadata = { resourceVersion: String(this.#version) };
    if (query.get('watch') !== 'true' && query.get('watch') !== '1')
      return answer(response, 200, { kind: `${kind}List`, apiVersion, metadata, items });
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    for (const object of items) response.write(`${JSON.stringify({ type: 'ADDED', object })}\n`);
    if (query.get('sendInitialEvents') === 'true') {
      const annotations = { 'k8s.io/initial-events-end': 'true' };
      const object = { kind, apiVersion, metadata: { ...metadata, annotations } };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
    const watch = { collection, response };
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
  }

  #one(
    method: string,
    response: ServerResponse,
    { collection, namespace, name }: Route,
    sent: KubeManifest,
  ): void {
    const path = `${collection}/${name ?? sent?.['metadata'].name}`;
    const present = this.objects.get(path);
    if (method === 'POST') {
      if (present !== undefined) return refuse(response, 409, 'AlreadyExists');
      return answer(response, 201, this.#put(path, sent, namespace));
    }
    if (present === undefined && method !== 'PATCH') return refuse(response, 404, 'NotFound');
    if (method === 'GET') return answer(response, 200, present);
    if (method === 'DELETE') {
      this.objects.delete(path);
      this.#tell('DELETED', collection, present as KubeManifest);
      return answer(response, 200, { kind: 'Status', apiVersion: 'v1', status: 'Success' });
    }
    const next = method === 'PUT' ? sent : (merged(present ?? {}, sent) as KubeManifest);
    if (present?.['immutable'] === true && !isDeepStrictEqual(next['data'], present['data']))
      return refuse(response, 422, 'Invalid', 'data: Forbidden: field is immutable when `immutable` is set');
    return answer(response, 200, this.#put(path, next, namespace));
  }

  #put(path: string, object: KubeManifest, namespace: string | undefined): KubeManifest {
    const version = String(++this.#version);
    const metadata = {
      ...object['metadata'],
      ...(namespace !== undefined && { namespace }),
      uid: this.objects.get(path)?.['metadata'].uid ?? `uid-${version}`,
      resourceVersion: version,
    };
    const stored = { ...object, metadata, ...(object['kind'] === 'Job' && { status: this.jobStatus }) };
    this.objects.set(path, stored);
    this.#tell('ADDED', path.slice(0, path.lastIndexOf('/')), stored);
    return stored;
  }

  /** What becomes of a Job as soon as it is made. */
  jobStatus: object = { succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] };

  #tell(type: string, at: string, object: KubeManifest): void {
    for (const { collection, response } of this.#watches)
      if (collection === at) response.write(`${JSON.stringify({ type, object })}\n`);
  }
}

/** Helm's own record, which its client sends as protobuf: magic, `runtime.Unknown`, and in it a `v1.Secret`. */
function secretIn(body: Buffer): KubeManifest {
  const [secret = Buffer.alloc(0)] = fieldsOf(body.subarray(4)).get(2) ?? [];
  const parts = fieldsOf(secret);
  const metadata = fieldsOf(parts.get(1)?.[0] ?? Buffer.alloc(0));
  const textOf = (field: Buffer | undefined): string => field?.toString('utf8') ?? '';
  const entries = (fields: readonly Buffer[] | undefined, encoding: 'utf8' | 'base64') =>
    Object.fromEntries(
      (fields ?? []).map((entry) => {
        const [key, value] = [1, 2].map((number) => fieldsOf(entry).get(number)?.[0]);
        return [textOf(key), value?.toString(encoding) ?? ''];
      }),
    );
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: textOf(metadata.get(1)?.[0]), labels: entries(metadata.get(11), 'utf8') },
    data: entries(parts.get(2), 'base64'),
    type: textOf(parts.get(3)?.[0]),
  };
}

/** The fields of a protobuf message by number, as far as they are bytes or integers. */
function fieldsOf(message: Buffer): ReadonlyMap<number, readonly Buffer[]> {
  const fields = new Map<number, Buffer[]>();
  let at = 0;
  const varint = (): number => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const length = varint();
    if (tag % 8 !== 2) continue;
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), message.subarray(at, at + length)]);
    at += length;
  }
  return fields;
}

function kindOf(root: string, plural: string): { readonly kind: string; readonly apiVersion: string } {
  const { groupVersion, resources } = discoveryAnswer(root) as {
    readonly groupVersion: string;
    readonly resources: readonly { readonly name: string; readonly kind: string }[];
  };
  return { kind: resources.find(({ name }) => name === plural)?.kind ?? '', apiVersion: groupVersion };
}

function namespaceOf(name: string): object {
  return { kind: 'Namespace', apiVersion: 'v1', metadata: { name, uid: 'n' }, status: { phase: 'Active' } };
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, code: number, reason: string, message: string = reason): void {
  answer(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code, message });
}

function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(target as Record<string, unknown>) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key] ?? {}, value);
  }
  return result;
}
