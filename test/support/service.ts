import { Writable } from 'node:stream';
import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Adapters } from '../../src/bootstrap/open-adapters';
import { createApplication } from '../../src/bootstrap/application';
import type { Settings } from '../../src/config/settings';
import { MemoryDeletionJobStorage } from './memory.deletion-job-storage';
import { createLog } from '../../src/logging/log';
import { ACCESS_TOKEN_KEY, USER_TOKEN_SECRET } from './tokens';

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
export async function startService(given: TestAdapters, settings: Partial<Settings> = {}): Promise<Service> {
  const adapters: Adapters = { deletionJobs: new MemoryDeletionJobStorage(), ...given };
  const chunks: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString('utf8'));
      done();
    },
  });
  const log = createLog('trace', sink);
  const app = await createApplication({ ...TEST_SETTINGS, ...settings }, adapters, log);
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  return {
    url: `${settings.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    app,
    adapters,
    log: () => chunks.join(''),
    logLines: () => chunks.join('').split('\n').filter(Boolean).map((line) => JSON.parse(line)), // prettier-ignore
    close: () => app.close(),
  };
}
