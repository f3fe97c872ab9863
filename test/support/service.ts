import { Writable } from 'node:stream';
import type { AddressInfo, Server } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { AuditedSecretStore } from '../../src/audit/audit-trail';
import { AuditSink } from '../../src/audit/audit-sink';
import { AppModule } from '../../src/app.module';
import { applicationOptions } from '../../src/bootstrap/application';
import { PeerVerifier } from '../../src/authn/peer-verifier';
import { UserDirectory } from '../../src/authn/tokens';
import { UserPresence, ServiceAccountAuthenticator } from '../../src/authn/caller';
import { GrantSource } from '../../src/authz/grant-source';
import type { Settings } from '../../src/config/settings';
import { Cluster, NO_CLUSTER } from '../../src/grant-sources/grant-sources.module';
import { ServiceProblems } from '../../src/http/controllers/health.controller';
import { ConnectionBounds } from '../../src/http/server/accepted-connections';
import { StrictExpressAdapter } from '../../src/http/server/strict-express.adapter';
import { RateLimits } from '../../src/limits/rate-limits';
import { createLog } from '../../src/logging/log';
import { Registration } from '../../src/registration/registered-objects';
import { WatchedFiles } from '../../src/reloadable/reloadable';
import { SecretStore, UserWorkspaces, type CompleteSecretStore } from '../../src/secrets/secret-store';
import { StoreBackend } from '../../src/stores/stores.module';
import { Telemetry } from '../../src/telemetry/telemetry.module';
import { TracedSecretStore } from '../../src/telemetry/traced';
import type { DeletionJobStorage } from '../../src/user-deprovisioning/deletion-jobs';
import { Clock, MonotonicTime } from '../../src/time/clock';
import { requireDescribed } from './described-answers';
import { answerChecks } from './http-call';
import { MemoryDeletionJobStorage } from './memory.deletion-job-storage';
import { ACCESS_TOKEN_KEY, USER_TOKEN_SECRET } from './tokens';

/** What a test gives in place of what the settings choose. With a grant source, no cluster is opened. */
export interface Adapters {
  readonly clock?: Clock;
  readonly time?: MonotonicTime;
  readonly files?: WatchedFiles;
  readonly store?: CompleteSecretStore;
  /** In place of the settings' backend, within the decorators that the settings choose; `store` has none of them. */
  readonly backend?: StoreBackend['store'];
  /** In memory by default. */
  readonly deletionJobs?: DeletionJobStorage;
  readonly grantSource?: GrantSource;
  readonly userDirectory?: UserDirectory;
  readonly peerVerifier?: PeerVerifier;
  readonly serviceAccounts?: ServiceAccountAuthenticator;
  readonly users?: UserPresence;
  readonly connectionBounds?: ConnectionBounds;
  readonly rateLimits?: RateLimits;
  readonly telemetry?: Telemetry;
  readonly registration?: Registration;
  /** Takes the records where the settings have an audit trail. */
  readonly auditSink?: AuditSink;
  readonly problems?: () => readonly string[];
}

export interface Service {
  readonly url: string;
  readonly app: NestExpressApplication;
  readonly adapters: Adapters;
  /** All lines of the log so far, as text. */
  log(): string;
  logLines(): Record<string, unknown>[];
  close(): Promise<void>;
}

export const TEST_SETTINGS: Settings = {
  host: '127.0.0.1',
  port: 0,
  logLevel: 'trace',
  logFormat: 'json',
  shutdownTimeoutMs: 1000,
  responseStyle: 'documented',
  apiDocs: false,
  grants: { kind: 'directory', dir: '' },
  rbacProxy: 'off',
  settingsRoutes: 'user-token',
  limits: { rates: { app: {}, user: {} }, maxInFlight: 10_000 },
  quotas: { workspace: { secrets: Infinity, bytes: Infinity }, user: { secrets: Infinity, bytes: Infinity } },
  workspaceSharing: 'allow',
  userToken: { secret: USER_TOKEN_SECRET, required: true },
  accessTokenKey: ACCESS_TOKEN_KEY,
  store: { kind: 'embedded', dataDir: '', maxDiskReserveBytes: 0, masterKey: new Uint8Array(32) },
  credentialFiles: {},
};

/** Deletion jobs are stored in memory by default. */
export type TestAdapters = Omit<Adapters, 'deletionJobs'> & Partial<Pick<Adapters, 'deletionJobs'>>;

/** Starts the whole service on a free port of loopback, with the given adapters. */
export async function startService(adapters: Adapters, settings: Partial<Settings> = {}): Promise<Service> {
  const opened = await openModules(adapters, settings);
  const app = opened.module.createNestApplication<NestExpressApplication>(
    new StrictExpressAdapter(),
    opened.options,
  );
  await app.listen(0, '127.0.0.1');
  const server = app.getHttpServer() as Server;
  const { port } = server.address() as AddressInfo;
  const url = `${settings.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  answerChecks.set(url, requireDescribed);
  // Another server may get the port.
  server.once('close', () => answerChecks.delete(url));
  return {
    url,
    app,
    adapters,
    log: opened.log,
    logLines: opened.logLines,
    close: () => app.close(),
  };
}

/** Opens the modules of the service without a server; with the given adapters, or those that the settings choose. */
export async function openModules(
  { problems, store, backend = store, deletionJobs = new MemoryDeletionJobStorage(), ...adapters }: Adapters,
  settings: Partial<Settings> = {},
) {
  const chunks: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString('utf8'));
      done();
    },
  });
  const log = createLog('trace', sink);
  const app = AppModule.register({ ...TEST_SETTINGS, ...settings }, log);
  const builder = Test.createTestingModule({ imports: [app] });
  const replaced = [
    [Clock, adapters.clock],
    [MonotonicTime, adapters.time],
    [WatchedFiles, adapters.files],
    [StoreBackend, backend && { store: backend, deletionJobs }],
    [GrantSource, adapters.grantSource],
    [Cluster, adapters.grantSource && NO_CLUSTER],
    [UserDirectory, adapters.userDirectory],
    [PeerVerifier, adapters.peerVerifier],
    [ServiceAccountAuthenticator, adapters.serviceAccounts],
    [UserPresence, adapters.users],
    [ConnectionBounds, adapters.connectionBounds],
    [RateLimits, adapters.rateLimits],
    [Telemetry, adapters.telemetry],
    [Registration, adapters.registration],
    [AuditSink, adapters.auditSink],
  ] as const;
  for (const [token, value] of replaced)
    if (value !== undefined) builder.overrideProvider(token).useValue(value);
  // Only the settings' own backend gets the decorators of the settings.
  if (store !== undefined) {
    const audited = settings.audit === undefined ? store : new AuditedSecretStore(store);
    const traced = ({ spans }: Telemetry) =>
      spans === undefined ? audited : new TracedSecretStore(audited, spans);
    builder.overrideProvider(UserWorkspaces).useValue(store);
    builder.overrideProvider(SecretStore).useFactory({ factory: traced, inject: [Telemetry] });
  }
  const options = applicationOptions(log);
  const module = await builder.setLogger(options.logger).compile();
  if (problems !== undefined) module.get(ServiceProblems).add(problems);
  return {
    module,
    options,
    log: () => chunks.join(''),
    logLines: () => chunks.join('').split('\n').filter(Boolean).map((line) => JSON.parse(line)), // prettier-ignore
  };
}
