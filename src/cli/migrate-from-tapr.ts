import '../bootstrap/hardened-process';
import { resolve } from 'node:path';
import 'reflect-metadata';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core/nest-factory';
import { storeBackend } from '../app.module';
import { AuditModule } from '../audit/audit.module';
import { RuntimeModule } from '../bootstrap/runtime.module';
import { InvalidSettings, loadSettings, type Settings } from '../config/settings';
import type { InfisicalStoreSettings } from '../config/store-settings';
import { KubeConfigUnusable, KubernetesApi, kubernetesFailureOf } from '../kubernetes/kubernetes-api';
import { kubeConfigConnection } from '../kubernetes/kube-config';
import { ObjectLister } from '../kubernetes/kube-object';
import { createLog, type LogEvent } from '../logging/log';
import {
  hasEnded,
  HELP,
  jsonFile,
  type MigrationArguments,
  parseMigrationArguments,
  reportOf,
  reportText,
} from '../migration/migration-command';
import { migrate, printedProgress } from '../migration/migration';
import { type MigrationEnds, MigrationState } from '../migration/migration-state';
import {
  INVENTORY_QUERY,
  inventoryOfDatabase,
  MigrationFailed,
  parseInventory,
  parseUsers,
  planOf,
  type PredecessorProject,
  type UsersByEmail,
} from '../migration/predecessor-inventory';
import { type PredecessorOptions, PredecessorServer } from '../migration/predecessor-server';
import { SecretCopier } from '../migration/secret-copier';
import { RedisModule } from '../redis/redis.module';
import { SecretStore } from '../secrets/secret-store';
import type { LoginCredentials } from '../stores/infisical/auth/login-method';
import { EmbeddedStoreUnusable, UsageError } from '../errors/operator-errors';
import { StoresModule } from '../stores/stores.module';
import { TelemetryModule } from '../telemetry/telemetry.module';
import { SystemClock, SystemMonotonicTime } from '../time/clock';
import { connectionTo, givenIn } from './infisical-setup';

const INTERRUPTED = 130;

/** The command `npm run migrate-from-tapr`: see docs/migrate-from-tapr.md. */
async function main(): Promise<void> {
  // The pauses of MonotonicTime do not keep the process alive.
  const awake = setInterval(() => undefined, 1000);
  try {
    process.exitCode = await run();
  } finally {
    clearInterval(awake);
  }
}

/** Returns the exit code. */
async function run(): Promise<number> {
  const args = parseMigrationArguments(process.argv.slice(2));
  if (args === 'help' || args === 'query') {
    process.stdout.write(args === 'help' ? HELP : `${INVENTORY_QUERY};\n`);
    return 0;
  }
  const settings = loadSettings({ ...process.env, ...UNLIKE_THE_SERVICE });
  const options = predecessorOptions(settings);
  const plan = planOf(await inventory(args), await users(args), args.user);
  if (plan.strangers.length > 0)
    throw new UsageError(`There is no user ${JSON.stringify(plan.strangers[0])}.`);
  const interruption = new AbortController();
  const interrupt = (): void => {
    // The second one ends the process at once; --resume takes back what is left.
    if (interruption.signal.aborted) process.exit(INTERRUPTED);
    interruption.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const { signal } = interruption;
  const { 'dry-run': dryRun, resume, state: stateFile } = args;
  const [clock, time] = [new SystemClock(), new SystemMonotonicTime()];
  const stores = await openStore(settings);
  const state = await MigrationState.open(stateFile, { ...endsOf(settings, options), dryRun, resume }).catch(
    async (error: unknown) => {
      await stores.close();
      throw error;
    },
  );
  const server = new PredecessorServer(options, { clock, time, log: NO_LOG, signal });
  try {
    const copier = new SecretCopier(stores.get(SecretStore), time, dryRun, signal);
    const progress = printedProgress(
      (text) => void process.stderr.write(text),
      process.stderr.isTTY,
      () => time.nowMs(),
    );
    const outcome = await migrate(plan, { server, copier, state, signal, progress });
    const report = reportOf(plan, outcome, dryRun);
    // What a complete run has noted is of no use; any other goes on with --resume.
    if (hasEnded(report)) await state.remove();
    process.stdout.write(process.stdout.isTTY ? reportText(report) : `${JSON.stringify(report)}\n`);
    if (report.clean || (args['exit-zero'] && hasEnded(report))) return 0;
    return signal.aborted ? INTERRUPTED : 1;
  } finally {
    server.close();
    try {
      if (state.isEmpty) await state.remove();
    } finally {
      await stores.close();
    }
  }
}

/** The cache would answer for the store, an operation may wait for a server that limits its rate, and nothing is served. */
const UNLIKE_THE_SERVICE = {
  CACHE_TTL_MS: '0',
  INFISICAL_TIMEOUT_MS: '120000',
  METRICS_PORT: undefined,
  TLS_CERT_FILE: undefined,
  TLS_KEY_FILE: undefined,
  TLS_CLIENT_CA_FILE: undefined,
  TLS_CLIENT_SUBJECTS: undefined,
  OTEL_EXPORTER_OTLP_ENDPOINT: undefined,
} as const;

/** The calls of this command are its own report. */
const NO_LOG: LogEvent = () => undefined;

async function inventory({
  projects: projectsFile,
}: MigrationArguments): Promise<readonly PredecessorProject[]> {
  if (projectsFile !== undefined) return parseInventory(jsonFile(projectsFile));
  const url = process.env['TAPR_DATABASE_URL'] ?? '';
  if (!/^postgres(ql)?:\/\/[^\s]+$/.test(url))
    throw new UsageError(
      'TAPR_DATABASE_URL must be postgres://user@host:5432/database; --projects FILE goes without.',
    );
  if (URL.canParse(url) && new URL(url).password !== '')
    throw new UsageError(
      'TAPR_DATABASE_URL must be without a password: give it as TAPR_DATABASE_PASSWORD_FILE.',
    );
  return inventoryOfDatabase({ url, password: given('TAPR_DATABASE_PASSWORD') });
}

const USERS_PATH = '/apis/iam.kubesphere.io/v1alpha2/users';

async function users({ 'users-file': usersFile }: MigrationArguments): Promise<UsersByEmail> {
  if (usersFile !== undefined) return parseUsers(jsonFile(usersFile));
  try {
    const api = new KubernetesApi(kubeConfigConnection(process.env), new SystemMonotonicTime());
    const lister = new ObjectLister({ path: USERS_PATH, read: ({ body }) => body }, api);
    const { objects } = await lister.list(new Map(), new AbortController().signal);
    return parseUsers({ items: [...objects.values()] });
  } catch (error: unknown) {
    if (error instanceof MigrationFailed) throw error;
    const why = error instanceof KubeConfigUnusable ? error.message : kubernetesFailureOf(error).message;
    throw new MigrationFailed(
      `The users of the cluster cannot be listed (${why}); --users-file FILE goes without the cluster.`,
    );
  }
}

/** The Infisical of the predecessor: that of the service's own store unless another one is named. */
function predecessorOptions({ store }: Settings): PredecessorOptions {
  const own = store.kind === 'infisical' ? store : undefined;
  const url = (process.env['TAPR_INFISICAL_URL'] || own?.url)?.replace(/\/+$/, '');
  if (url === undefined || !/^https?:\/\/[^\s@?#]+$/.test(url))
    throw new UsageError(
      'TAPR_INFISICAL_URL must be the http or https address of the Infisical of the predecessor.',
    );
  const connection = connectionTo(url, process.env);
  return { url, login: login(own), jwtSecret: given('TAPR_JWT_AUTH_SECRET'), ...connection };
}

function endsOf({ store }: Settings, { url, login: source }: PredecessorOptions): MigrationEnds {
  const at = (server: string, of: LoginCredentials) =>
    `${server} ${'clientId' in of ? of.clientId : 'identityId' in of ? of.identityId : ''}`;
  const target = store.kind === 'embedded' ? resolve(store.dataDir) : at(store.url, store);
  return { source: at(url, source), target };
}

function login(own: InfisicalStoreSettings | undefined): LoginCredentials {
  const clientId = given('TAPR_INFISICAL_CLIENT_ID');
  const clientSecret = given('TAPR_INFISICAL_CLIENT_SECRET');
  if (clientId !== undefined && clientSecret !== undefined) return { clientId, clientSecret };
  if (own === undefined || clientId !== undefined || clientSecret !== undefined)
    throw new UsageError(
      'TAPR_INFISICAL_CLIENT_ID and TAPR_INFISICAL_CLIENT_SECRET must name the machine identity.',
    );
  return own;
}

function given(name: string): string | undefined {
  return givenIn(process.env, name);
}

/** Opens the store as the service does, with its quotas and a shared Redis' lock; audited by the report alone. */
async function openStore({ audit: _audit, ...settings }: Settings): Promise<INestApplicationContext> {
  const module = {
    module: class MigrationModule {},
    imports: [
      RuntimeModule.register(settings, createLog('silent', process.stderr)),
      TelemetryModule,
      AuditModule,
      RedisModule,
      StoresModule.register(storeBackend(settings)),
    ],
  };
  return NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
}

/** Returns one sentence for the operator; nothing of a foreign error is printed but its class. */
function explain(error: unknown): string {
  const isOurs = [UsageError, MigrationFailed, InvalidSettings, EmbeddedStoreUnusable].some(
    (kind) => error instanceof kind,
  );
  if (isOurs && error instanceof Error) return error.message;
  return `It failed unexpectedly (${error instanceof Error ? error.constructor.name : typeof error}).`;
}

// Progress that cannot be told ends no run, which would leave its roles.
process.stderr.on('error', () => undefined);

main().catch((error: unknown) => {
  process.stderr.write(`migrate-from-tapr: ${explain(error)}\n`);
  process.exitCode = error instanceof UsageError || error instanceof InvalidSettings ? 2 : 1;
});
