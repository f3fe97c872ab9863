import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { type MonotonicTime, SystemMonotonicTime } from '../../../src/time/clock';
import { podToken } from '../service-account-tokens';
import { FakeObjects, type KubeObject, type Remembered, seenBy, type Selectors } from './fake-objects';
import { API_AUDIENCE, type FakeToken, reviewToken } from './fake-token-review';
import { refusedByRbac } from './fake-rbac';
import { FakeWatch } from './fake-watch';
import { type FakeResource, RESOURCES, routeOf, type ResourceName } from './fake-resources';

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly details?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface EtcdSnapshot {
  readonly version: number;
  readonly objects: ReadonlyMap<ResourceName, readonly KubeObject[]>;
}

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
const TOKEN_REQUEST = /^\/api\/v1\/namespaces\/([^/]+)\/serviceaccounts\/([^/]+)\/token$/;
/** Namespaces are removed only after their objects. */
const TERMINATING: ReadonlySet<ResourceName> = new Set(['namespaces', 'customresourcedefinitions']);
const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};
const MERGE_PATCH = 'application/merge-patch+json';

/** A Kubernetes API with state, and with the faults of a real one. */
export class FakeApiServer {
  readonly requests: FakeRequest[] = [];
  readonly watches = new Set<FakeWatch>();
  /** ServiceAccount tokens: in a TokenReview, and of callers, who may do what RBAC lets them. */
  readonly tokens = new Map<string, FakeToken>();
  /** Kinds that this cluster does not have. */
  readonly absent = new Set<ResourceName>();
  /** Kinds that our roles do not let us read. */
  readonly forbidden = new Set<ResourceName>();
  /** What an access review of ours denies, as `<verb> <resource>`, or `<verb> <url>`. */
  readonly denied = new Set<string>();
  /** The bearer token that it accepts from us, whom no RBAC binds. */
  token = 'canary-of-our-own-token';
  /** The status with which every request is answered. */
  failing: Refusal | undefined;
  /** How watches are answered Gone: as an HTTP status, or as an ERROR event of an open watch. */
  gone: 'status' | 'event' | undefined;
  /** The time by which watches end, where a test controls it. */
  time: MonotonicTime = new SystemMonotonicTime();
  listDelayMs = 0;
  reviewDelayMs = 0;
  /** The answer of every TokenReview, instead of the true one. */
  reviewStatus: Readonly<Record<string, unknown>> | undefined;
  /** Awaited by every TokenReview, so that a test can delay them. */
  reviewGate: Promise<void> = Promise.resolve();
  /** New watches open and then stay silent. */
  silentWatches = false;
  /** The status with which new watches are refused; lists still work. */
  refusingWatches: Refusal | undefined;
  /** Returns the refusal of a create or patch; undefined lets it pass. */
  refusingWrites: (object: KubeObject) => Refusal | undefined = () => undefined;
  /** How long a namespace or a kind takes to go after its DELETE, as with a controller-manager; meanwhile nothing is made in it. */
  terminationMs = 0;
  private version = 1;
  private readonly collections = new Map<ResourceName, FakeObjects>();
  private readonly sockets = new Set<Socket>();
  /** The pages of a list show its state at the first page. */
  private readonly snapshots = new Map<string, readonly KubeObject[]>();
  private server: Server | undefined;
  private port = 0;

  private constructor(private readonly tls?: { readonly key: string; readonly cert: string }) {
    for (const name of Object.keys(RESOURCES) as ResourceName[]) {
      this.collections.set(name, new FakeObjects(() => ++this.version));
    }
  }

  static async start(tls?: { readonly key: string; readonly cert: string }): Promise<FakeApiServer> {
    const server = new FakeApiServer(tls);
    await server.listen();
    return server;
  }

  get url(): string {
    return `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  of(name: ResourceName): FakeObjects {
    const objects = this.collections.get(name);
    if (objects === undefined) throw new Error(`no resource ${name}`);
    return objects;
  }

  count(kind: 'list' | 'watch'): number {
    const watch = (request: FakeRequest) => request.query.get('watch') === 'true';
    return this.requests.filter(
      (request) => request.method === 'GET' && watch(request) === (kind === 'watch'),
    ).length;
  }

  /** Advances the revision, as other writes in a cluster do. */
  bookmark(): void {
    this.version += 1;
    for (const watch of this.watches) watch.bookmark(this.version);
  }

  /** Returns a snapshot of etcd. */
  snapshot(): EtcdSnapshot {
    const objects = [...this.collections].map(([name, collection]) => [name, collection.list()] as const);
    return { version: this.version, objects: new Map(objects) };
  }

  /** Restores objects and revision from a snapshot: another history continues with the same numbers. */
  restore({ version, objects }: EtcdSnapshot = { version: 1, objects: new Map() }): void {
    this.version = version;
    for (const [name, collection] of this.collections) collection.restore(objects.get(name) ?? [], version);
  }

  /** Forgets the history: a watch from an older version gets 410. */
  compact(): void {
    for (const objects of this.collections.values()) objects.compactedAt = this.version;
  }

  /** Stops the server; its objects stay. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server?.close(resolve) ?? resolve(undefined));
    this.dropConnections();
    await closed;
    this.server = undefined;
  }

  dropConnections(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Starts again on the same port after stop(). */
  async listen(): Promise<void> {
    const listener: RequestListener = (request, response) => void this.handle(request, response);
    const server = this.tls ? createTlsServer(this.tls, listener) : createServer(listener);
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const method = request.method ?? 'GET';
    this.requests.push({ method, path: decodeURIComponent(url.pathname), query: url.searchParams });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    if (this.failing) return refuse(response, this.failing);
    const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    const known = token === this.token ? undefined : this.tokens.get(token);
    const username = known?.audiences.includes(API_AUDIENCE) === true ? known.username : undefined;
    if (token !== this.token && username === undefined)
      return refuse(response, { status: 401, reason: 'Unauthorized' });
    if (url.pathname === '/apis/authentication.k8s.io/v1/tokenreviews' && method === 'POST') {
      await this.reviewGate;
      if (this.reviewDelayMs > 0)
        await new Promise((resolve) => setTimeout(resolve, this.reviewDelayMs).unref());
      const truth = reviewToken(JSON.parse(body), this.tokens);
      return answer(response, 201, this.reviewStatus ? { status: this.reviewStatus } : truth);
    }
    if (url.pathname === '/version') return answer(response, 200, { gitVersion: 'v1.30.2+k3s1' });
    if (url.pathname === REVIEWS && method === 'POST')
      return answer(response, 201, { status: { allowed: !this.denied.has(reviewedRight(body)) } });
    const account = TOKEN_REQUEST.exec(url.pathname)?.slice(1);
    if (account !== undefined && method === 'POST')
      return answer(response, 201, this.makeToken(account, body));
    const route = routeOf(decodeURIComponent(url.pathname));
    if (route === undefined || this.absent.has(route.resource))
      return refuse(response, { status: 404, reason: 'NotFound' });
    const { resource, namespace, name } = route;
    if (this.forbidden.has(resource)) return refuse(response, { status: 403, reason: 'Forbidden' });
    const isWatch = url.searchParams.get('watch') === 'true';
    const verb = method !== 'GET' ? VERBS[method] : isWatch ? 'watch' : name === undefined ? 'list' : 'get';
    const list = (of: ResourceName) => this.of(of).list();
    const sent = (method === 'DELETE' || body === '' ? undefined : JSON.parse(body)) as
      KubeObject | undefined;
    const object =
      method === 'PATCH' ? (merged(this.of(resource).get(namespace, name ?? ''), sent) as KubeObject) : sent;
    const denial =
      username === undefined ? undefined : refusedByRbac(username, verb ?? method, route, object, list);
    if (denial) return refuse(response, denial);
    if (name === undefined && method === 'GET') {
      if (isWatch) {
        return this.watch(response, RESOURCES[resource], this.of(resource), {
          namespace,
          query: url.searchParams,
        });
      }
      if (this.listDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.listDelayMs).unref());
      return this.list(response, RESOURCES[resource], this.of(resource), {
        namespace,
        query: url.searchParams,
      });
    }
    const patching = request.headers['content-type']?.startsWith(MERGE_PATCH) === true;
    if (method === 'PATCH' && !patching)
      return refuse(response, { status: 415, reason: 'UnsupportedMediaType' });
    return this.one(response, { method, resource, namespace, name, body });
  }

  /** TokenRequest of a ServiceAccount. */
  private makeToken([namespace = '', name = '']: readonly string[], body: string): unknown {
    const { spec } = JSON.parse(body) as { spec: { audiences?: string[]; expirationSeconds: number } };
    const [audience] = spec.audiences ?? [API_AUDIENCE];
    const expiresAtMs = Date.now() + spec.expirationSeconds * 1000;
    return { status: { token: podToken(this, { namespace, name, audience, expiresAtMs }) } };
  }

  private one(
    response: ServerResponse,
    {
      method,
      resource,
      namespace,
      name,
      body,
    }: {
      method: string;
      resource: ResourceName;
      namespace: string | undefined;
      name: string | undefined;
      body: string;
    },
  ): void {
    const objects = this.of(resource);
    const parsed = body === '' ? undefined : (JSON.parse(body) as KubeObject);
    const sent = method === 'DELETE' ? undefined : parsed;
    const refusal = sent && this.refusingWrites(sent);
    if (refusal) return refuse(response, refusal);
    if (method === 'POST' && name === undefined && sent) {
      if (objects.get(namespace, sent.metadata.name))
        return refuse(response, { status: 409, reason: 'AlreadyExists' });
      if (this.of('namespaces').get(undefined, namespace ?? '')?.metadata['deletionTimestamp'] !== undefined)
        return refuse(response, { status: 403, reason: 'Forbidden' });
      const metadata = { ...sent.metadata, ...(namespace === undefined ? {} : { namespace }) };
      return answer(response, 201, objects.put({ ...sent, metadata }));
    }
    const present = objects.get(namespace, name ?? '');
    if (present === undefined) return refuse(response, { status: 404, reason: 'NotFound' });
    if (method === 'GET') return answer(response, 200, present);
    const { uid } = present.metadata;
    const { uid: meant = uid } = (
      method === 'DELETE' ? (parsed?.['preconditions'] ?? {}) : (sent?.metadata ?? {})
    ) as { readonly uid?: unknown };
    if (meant !== uid) return refuse(response, { status: 409, reason: 'Conflict' });
    if (method === 'DELETE') {
      if (TERMINATING.has(resource) && this.terminationMs > 0) this.terminate(resource, present);
      else objects.delete(namespace, name ?? '');
      return answer(response, 200, { kind: 'Status', status: 'Success' });
    }
    if (method === 'PATCH') {
      const now = merged(present, sent) as KubeObject;
      if (!isDeepStrictEqual(now['roleRef'], present['roleRef']))
        return refuse(response, { status: 422, reason: 'Invalid' });
      // A patch that changes nothing is no event.
      return answer(response, 200, isDeepStrictEqual(now, present) ? present : objects.put(now));
    }
    const outdated = sent?.metadata.resourceVersion !== present.metadata.resourceVersion;
    if (outdated && sent?.metadata.resourceVersion)
      return refuse(response, { status: 409, reason: 'Conflict' });
    if (method === 'PUT' && sent) return answer(response, 200, objects.put(sent));
    return refuse(response, { status: 405, reason: 'MethodNotAllowed' });
  }

  private terminate(resource: ResourceName, object: KubeObject): void {
    const { name } = object.metadata;
    const metadata = { ...object.metadata, deletionTimestamp: new Date().toISOString() };
    this.of(resource).put({ ...object, metadata });
    const end = (): void => {
      this.of(resource).delete(undefined, name);
      if (resource !== 'namespaces') return;
      for (const objects of this.collections.values())
        for (const { metadata: inside } of objects.list(name)) objects.delete(name, inside.name);
    };
    setTimeout(end, this.terminationMs).unref();
  }

  private list(response: ServerResponse, kind: FakeResource, objects: FakeObjects, at: Selection): void {
    const [from = 0, version = this.version] = (at.query.get('continue') ?? '')
      .split(':')
      .filter(Boolean)
      .map(Number);
    if (version < objects.compactedAt) return refuse(response, { status: 410, reason: 'Expired' });
    const selector = selectorsIn(at.query);
    const snapshot = `${kind.kind} ${version} ${at.namespace} ${JSON.stringify(selector)}`;
    const all = this.snapshots.get(snapshot) ?? objects.list(at.namespace, selector);
    const limit = Number(at.query.get('limit') ?? 0) || all.length;
    const rest = from + limit < all.length ? { continue: `${from + limit}:${version}` } : {};
    if ('continue' in rest) this.snapshots.set(snapshot, all);
    else this.snapshots.delete(snapshot);
    const items = all.slice(from, from + limit);
    const metadata = { resourceVersion: String(version), ...rest };
    return answer(response, 200, { apiVersion: kind.apiVersion, kind: `${kind.kind}List`, metadata, items });
  }

  private watch(response: ServerResponse, kind: FakeResource, objects: FakeObjects, at: Selection): void {
    if (this.refusingWatches) return refuse(response, this.refusingWatches);
    const version = Number(at.query.get('resourceVersion') ?? this.version);
    if (this.gone === 'status' || version < objects.compactedAt) {
      if (this.gone !== 'event') return refuse(response, { status: 410, reason: 'Expired' });
    }
    const watch = new FakeWatch(response, at.query.get('allowWatchBookmarks') === 'true', kind, version);
    if (this.silentWatches) watch.fallSilent();
    this.watches.add(watch);
    watch.onClose(() => this.watches.delete(watch));
    if (this.gone === 'event') {
      watch.send({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } });
      return watch.end();
    }
    const send = (event: Remembered) => {
      if (at.namespace !== undefined && event.object.metadata.namespace !== at.namespace) return;
      const seen = seenBy(selectorsIn(at.query), event);
      if (seen !== undefined) watch.send(seen, event.version);
    };
    for (const event of objects.since(version)) send(event);
    watch.onClose(objects.onEvent(send));
    const timeoutMs = Number(at.query.get('timeoutSeconds') ?? 1800) * 1000;
    const cancel = this.time.after(timeoutMs, () => {
      watch.bookmark(this.version);
      watch.end();
    });
    watch.onClose(cancel);
  }
}

interface Selection {
  readonly namespace: string | undefined;
  readonly query: URLSearchParams;
}

function selectorsIn(query: URLSearchParams): Selectors {
  return { labels: query.get('labelSelector'), fields: query.get('fieldSelector') };
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, { status, reason, details, headers = {} }: Refusal): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  const message = 'canary of a foreign message';
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', reason, details, code: status, message }));
}

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {};
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

/** Returns what a SelfSubjectAccessReview asks for. */
function reviewedRight(body: string): string {
  const { spec } = JSON.parse(body) as {
    spec: {
      resourceAttributes?: { verb: string; resource: string };
      nonResourceAttributes?: { verb: string; path: string };
    };
  };
  const { resourceAttributes: kind, nonResourceAttributes: url } = spec;
  return kind === undefined ? `${url?.verb} ${url?.path}` : `${kind.verb} ${kind.resource}`;
}
