import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuditRecord, AuditSink } from '../../src/audit/audit-sink';
import { listenForMetrics } from '../../src/bootstrap/application';
import type { Settings } from '../../src/config/settings';
import type { RequestObserver } from '../../src/http/request/begin-request';
import { Drain } from '../../src/http/guards/admission.guard';
import { SecretStore } from '../../src/secrets/secret-store';
import { type SecretScope, UNATTENDED } from '../../src/secrets/secret';
import { startTelemetry, type Telemetry } from '../../src/telemetry/telemetry.module';
import { permissionOf } from '../support/application-permission';
import { EXAMPLE_APPS } from '../support/example-apps';
import { eventually } from '../support/eventually';
import { FakeApiServer } from '../support/fake-api-server/fake-api-server';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { FixedClock } from '../support/fixed-clock';
import { httpCall } from '../support/http-call';
import { kubeconfigOf } from '../support/kubeconfig';
import { installApp, namespaceObject, OWN_NAMESPACE } from '../support/manifest-config-map';
import { podToken } from '../support/service-account-tokens';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { UNLIMITED_CONNECTIONS } from '../support/unlimited-connections';
import { ADDRESSES, Credentials, NOTES } from './credentials';
import { type Route, routesOf } from './routes';

/** What stands behind the service, and in which form it answers. */
export interface Setup {
  readonly store: 'embedded' | 'infisical';
  readonly responseStyle: Settings['responseStyle'];
}

/** Small ones, so that lists stay short however long a run is, and the refusals are seen too. */
const QUOTAS = { workspace: { secrets: 40, bytes: 256 * 1024 }, user: { secrets: 150, bytes: 1024 * 1024 } };
/** Values that are marked so are searched for in all that leaves the service. */
export const MARK = /mk_\d+_/g;
/** What is zero while no request is under way. */
const HELD =
  /^(osp_(?:requests_in_flight|request_body_bytes|answer_bytes|connections|store_queue_calls|infisical_calls_waiting|infisical_writes)\S*) (\S+)$/gm;

/** A call of the store, and the request that it was made for. */
export interface StoreCall {
  readonly method: 'retrieve' | 'create' | 'update' | 'delete' | 'list';
  readonly scope: SecretScope;
  readonly value?: string | undefined;
  /** The headers of the request; undefined where the service called by itself. */
  readonly headers: IncomingHttpHeaders | undefined;
}

class DiscardingAuditSink extends AuditSink {
  constructor(private readonly taken: (record: AuditRecord) => void) {
    super();
  }
  async append(record: AuditRecord): Promise<void> {
    this.taken(record);
  }
  async close(): Promise<void> {}
}

/** The whole service with everything behind it faked over real HTTP: cluster, LLDAP, and Infisical or the embedded store. */
export class FuzzedService {
  service!: Service;
  credentials!: Credentials;
  routes!: readonly Route[];
  metricsUrl = '';
  /** What broke a rule outside of any answer. */
  readonly faults: string[] = [];
  onStoreCall: (call: StoreCall) => void = () => undefined;
  #openRequests = 0;
  readonly #current = new AsyncLocalStorage<IncomingHttpHeaders>();
  readonly #stops: (() => Promise<unknown>)[] = [];

  private constructor(readonly setup: Setup) {}

  static async start(setup: Setup): Promise<FuzzedService> {
    const one = new FuzzedService(setup);
    const dir = mkdtempSync(join(tmpdir(), 'fuzz-'));
    one.#stops.push(async () => rmSync(dir, { recursive: true }));
    const cluster = await FakeApiServer.start();
    fill(cluster);
    one.#stops.push(() => cluster.stop());
    const clock = new FixedClock();
    const expiresAtMs = clock.nowMs() + 86_400_000;
    one.credentials = await Credentials.make(
      (namespace, name = 'default') => podToken(cluster, { namespace, name, expiresAtMs }),
      clock.nowMs(),
    );
    const lldapUrl = await one.#startLldap();
    const settings: Settings = {
      ...TEST_SETTINGS,
      responseStyle: setup.responseStyle,
      quotas: QUOTAS,
      metrics: { host: '127.0.0.1', port: 0 },
      userToken: { ...TEST_SETTINGS.userToken, lldapUrl, adminGroup: 'nobodys_group' },
      settingsRoutes: 'service-accounts',
      rbacProxy: 'service-accounts',
      audit: { sinks: 'stdout', key: Buffer.alloc(32, 7), deadlineMs: 5_000 },
      store: setup.store === 'embedded' ? embedded(join(dir, 'data')) : await one.#startInfisical(),
      grants: {
        kind: 'kubernetes',
        feeds: ['application-permissions', 'manifests'],
        approvalsNamespace: OWN_NAMESPACE,
        environment: { KUBECONFIG: kubeconfigOf(cluster, dir) },
        maxAgeMs: 600_000,
        audience: 'olares-secret-provider',
        trustedServiceAccounts: [{ namespace: 'os-framework', name: 'proxy' }],
        systemServerProof: 'address',
        olares: { release: 'up-to-1.12.0', leftovers: 'deny' },
        staticGrants: [],
        systemEventServiceAccounts: [{ namespace: 'os-framework', name: 'events' }],
        settingsServiceAccounts: [{ namespace: 'user-space-<user>', name: 'system-frontend' }],
      },
    };
    const started = await startTelemetry(settings, clock, () => undefined);
    const telemetry: Telemetry = {
      ...started,
      requests: one.#observer(started.requests),
      listen: (service, probes) => started.listen(service, probes),
      close: () => started.close(),
    };
    const auditSink = new DiscardingAuditSink((record) =>
      one.#search('the audit trail', JSON.stringify(record)),
    );
    one.service = await startService(
      { clock, telemetry, auditSink, connectionBounds: UNLIMITED_CONNECTIONS },
      settings,
    );
    one.metricsUrl = `http://127.0.0.1:${await listenForMetrics(one.service.app)}`;
    one.routes = routesOf(one.service.app);
    one.#watchStore(one.service.app.get(SecretStore));
    const ready = async (): Promise<void> => {
      const { body } = await httpCall(`${one.service.url}/readyz`, { method: 'GET' });
      if (body.data.installedApps !== EXAMPLE_APPS.length + 1) throw new Error(JSON.stringify(body));
    };
    await eventually(ready);
    return one;
  }

  get url(): string {
    return this.service.url;
  }

  /** Stores a secret in the service's own store, past all requests. */
  async put(scope: SecretScope, name: string, value: string): Promise<void> {
    await this.service.app.get(SecretStore).create(scope, { name, value }, UNATTENDED);
  }

  /** Returns how much of each resource is held now: requests, sockets, and what the metrics count. */
  async held(): Promise<ReadonlyMap<string, number>> {
    const server = this.service.app.getHttpServer();
    const sockets = await new Promise<number>((resolve) =>
      server.getConnections((_error, count) => resolve(count)),
    );
    const held = new Map([['requests', this.#openRequests], ['sockets', sockets]]); // prettier-ignore
    if (this.#openRequests + sockets > 0) return held;
    const { text } = await httpCall(`${this.metricsUrl}/metrics`, { method: 'GET' });
    for (const [, name = '', value] of text.matchAll(HELD)) held.set(name, Number(value));
    if (held.size < 6) throw new Error('the metrics do not say what is held');
    return held;
  }

  /** Stops everything; returns what the log and the end show that no answer could. */
  async close(): Promise<readonly string[]> {
    const drain = this.service.app.get(Drain);
    await this.service.close();
    if (drain.hasCutOff) this.faults.push('a request was still in flight at the end');
    const log = this.service.log();
    this.#search('the log', log);
    for (const line of this.service.logLines())
      if (line['msg'] === 'request_failed') this.faults.push(`a fault of ours: ${JSON.stringify(line)}`);
    for (const stop of this.#stops.reverse()) await stop();
    return this.faults;
  }

  #search(where: string, text: string): void {
    const [found] = [...text.matchAll(MARK), ...text.matchAll(/eyJ[\w-]{8,}\.eyJ[\w-]{8,}/g)];
    if (found !== undefined) this.faults.push(`${where} shows ${found[0]}`);
    for (const { appSecret } of EXAMPLE_APPS)
      if (text.includes(appSecret)) this.faults.push(`${where} shows the secret of an app`);
  }

  /** Counts the requests, which the metrics count too. */
  #observer(metrics: RequestObserver | undefined): RequestObserver {
    return {
      requestArrives: (headers) => {
        this.#openRequests += 1;
        const counted = metrics?.requestArrives(headers);
        return {
          run: (proceed) => this.#current.run(headers, proceed),
          ended: (how) => {
            counted?.ended(how);
            this.#openRequests -= 1;
          },
        };
      },
    };
  }

  #watchStore(store: SecretStore): void {
    const told = (method: StoreCall['method'], scope: SecretScope, value?: string): void =>
      this.onStoreCall({ method, scope, value, headers: this.#current.getStore() });
    const inner = {
      retrieve: store.retrieve.bind(store),
      create: store.create.bind(store),
      update: store.update.bind(store),
      delete: store.delete.bind(store),
      list: store.list.bind(store),
    };
    store.retrieve = (scope, ...rest) => (told('retrieve', scope), inner.retrieve(scope, ...rest));
    store.create = (scope, secret, ...rest) => (
      told('create', scope, secret.value),
      inner.create(scope, secret, ...rest)
    );
    store.update = (scope, secret, ...rest) => (
      told('update', scope, secret.value),
      inner.update(scope, secret, ...rest)
    );
    store.delete = (scope, ...rest) => (told('delete', scope), inner.delete(scope, ...rest));
    store.list = (scope, ...rest) => (told('list', scope), inner.list(scope, ...rest));
  }

  async #startLldap(): Promise<string> {
    const server = createServer((request, response) => {
      const isOut = request.headers.authorization === `Bearer ${this.credentials.loggedOut}`;
      request
        .resume()
        .on('end', () => response.end(JSON.stringify({ status: isOut ? 'invalid token' : 'ok' })));
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    this.#stops.push(() => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #startInfisical(): Promise<Settings['store']> {
    const fake = await FakeInfisical.start({ apiVersion: 'v3' });
    this.#stops.push(() => fake.close());
    const { clientId, clientSecret } = fake.identity;
    const cache = { ttlMs: 5_000, maxStaleMs: 60_000, maxEntries: 100, maxBytes: 8_000_000 };
    return { kind: 'infisical', url: fake.url, clientId, clientSecret, timeoutMs: 20_000, cache };
  }
}

/** Returns how many descriptors this process has open; undefined where that cannot be told. */
export function openDescriptors(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}

function embedded(dataDir: string): Settings['store'] {
  return { kind: 'embedded', dataDir, maxDiskReserveBytes: 0, masterKey: Buffer.alloc(32, 3) };
}

function fill(cluster: FakeApiServer): void {
  for (const app of EXAMPLE_APPS) {
    cluster.of('applicationpermissions').put(permissionOf(app, app.app));
    cluster.of('namespaces').put(namespaceObject(`${app.app}-${app.user}`, app.user));
  }
  for (const user of ['alice', 'bob'])
    for (const kind of ['system', 'space'])
      cluster.of('namespaces').put(namespaceObject(`user-${kind}-${user}`, user));
  installApp(cluster, NOTES);
  const labels = { 'kubernetes.io/service-name': 'system-server' };
  cluster.of('endpointslices').put({
    metadata: { name: 's', namespace: 'user-system-alice', labels },
    endpoints: [{ addresses: [ADDRESSES.alicesSystemServer] }],
  });
  cluster.of('pods').put({
    metadata: { name: 'proxy', namespace: 'os-framework' },
    spec: { serviceAccountName: 'proxy' },
    status: { phase: 'Running', podIPs: [{ ip: ADDRESSES.trustedProxy }] },
  });
}
