import type { Adapters } from './adapters';
import { NoAnnouncements } from './cache/write-announcements';
import { SystemClock } from './clock/system-clock';
import { SystemMonotonicTime } from './clock/system-monotonic-time';
import type { Settings } from './config/settings';
import { followedCredentials } from './credentials';
import { infisicalConnection } from './infisical-connection';
import { followedLogin } from './infisical-login';
import type { Clock } from './clock/clock';
import { ORDERS } from './departures/removal-orders';
import { DirectoryGrantSource } from './grants/directory.grant-source';
import { LldapUserDirectory } from './identity/lldap.user-directory';
import type { LogEvent } from './logging/log';
import { openRedis, type SharedRedis } from './open-redis';
import { QuotaSecretStore } from './protection/quota.secret-store';
import { WatchedFiles } from './rotation/watched-files';
import type { SecretStore } from './secrets/secret-store';
import { startTelemetry } from './start-telemetry';
import type { Telemetry } from './telemetry/telemetry';

/** What the Infisical store tells of its ordinary work; all else wants an operator's eye. */
const EXPECTED = /\.(succeeded|created|healed|met)$/;

const LLDAP_TIMEOUT_MS = 3_000;

/** Chooses the adapters that the settings name and opens them. */
export async function openAdapters(settings: Settings, log: LogEvent): Promise<Adapters> {
  const clock = new SystemClock();
  const files = new WatchedFiles(clock, new SystemMonotonicTime(), log);
  const { lldapUrl } = settings.userToken;
  const telemetry = await startTelemetry(settings, clock, log);
  const credentials = followedCredentials(settings, files);
  const time = new SystemMonotonicTime();
  const [key, observer] = [credentials.accessTokenKey, telemetry?.redis];
  const redis = await openRedis(settings, { time, log, files, key, observer });
  const [store, grants] = await Promise.all([
    openStore(settings, { clock, log, files, telemetry, redis }),
    openGrants(settings.grants, clock, log, telemetry),
  ]);
  return {
    clock,
    store: withQuotas(store, settings.quotas, { telemetry, redis }),
    credentials,
    closeCredentials: () => files.close(),
    ...grants,
    ...(telemetry !== undefined && { telemetry }),
    ...(redis !== undefined && { budgets: redis.budgets, closeRedis: redis.close }),
    problems: () => [...(grants.problems?.() ?? []), ...(redis?.problems() ?? [])],
    ...(lldapUrl === undefined
      ? {}
      : {
          userDirectory: new LldapUserDirectory({ url: lldapUrl, timeoutMs: LLDAP_TIMEOUT_MS }, clock, time),
        }),
  };
}

/** As many and as large secrets as the settings allow; the service's own are not limited. */
function withQuotas(
  store: SecretStore,
  quotas: Settings['quotas'],
  { telemetry, redis }: Pick<StoreSurroundings, 'telemetry' | 'redis'>,
): SecretStore {
  const isLimited = [quotas.workspace, quotas.user].some(
    ({ secrets, bytes }) => Math.min(secrets, bytes) < Infinity,
  );
  if (!isLimited) return store;
  const limited = new QuotaSecretStore(store, quotas, {
    time: new SystemMonotonicTime(),
    unlimitedUser: ORDERS.user,
    ...(telemetry?.quotas !== undefined && { observer: telemetry.quotas }),
  });
  redis?.announcements.listen((written) =>
    limited.writtenElsewhere(written === 'unknown' ? undefined : written.scope),
  );
  return limited;
}

/** The cluster's client takes a second to load: only who asks for it pays. */
async function openGrants(
  settings: Settings['grants'],
  clock: Clock,
  log: LogEvent,
  telemetry: Telemetry | undefined,
): Promise<
  Pick<
    Adapters,
    | 'grantSource'
    | 'peerProof'
    | 'serviceAccounts'
    | 'users'
    | 'problems'
    | 'closeCluster'
    | 'closeRegistration'
  >
> {
  if (settings.kind === 'directory') {
    return { grantSource: await DirectoryGrantSource.open({ dir: settings.dir, log }) };
  }
  const { openCluster } = await import('./kubernetes/open-cluster.js');
  const { KubernetesGrantSource } = await import('./grants/kubernetes.grant-source.js');
  const { around, peerProof, serviceAccounts, users, problems, close } = openCluster(
    settings,
    clock,
    log,
    telemetry?.watches,
  );
  const grantSource = await KubernetesGrantSource.open(around, settings.maxAgeMs);
  const opened = { grantSource, peerProof, serviceAccounts, users, problems, closeCluster: close };
  if (settings.providerEndpoint === undefined) return opened;
  const { Registrar } = await import('./registration/registrar.js');
  const registrar = new Registrar(settings.providerEndpoint, around);
  return { ...opened, closeRegistration: () => registrar.close() };
}

interface StoreSurroundings {
  readonly clock: Clock;
  readonly log: LogEvent;
  readonly files: WatchedFiles;
  readonly telemetry: Telemetry | undefined;
  readonly redis: SharedRedis | undefined;
}

/** Only the chosen store is loaded: the other one would cost start time and memory for nothing. */
async function openStore(
  { store, credentialFiles }: Settings,
  { clock, log, files, telemetry, redis }: StoreSurroundings,
): Promise<SecretStore> {
  if (store.kind === 'embedded') {
    const { EmbeddedSecretStore } = await import('./store/embedded/embedded.secret-store.js');
    return EmbeddedSecretStore.open(store);
  }
  const { createInfisicalSecretStore } = await import('./store/infisical/create-infisical-secret-store.js');
  const options = {
    ...store,
    ...infisicalConnection(store, files),
    ...followedLogin(store, credentialFiles, files),
    operationTimeoutMs: store.timeoutMs,
    ...(telemetry?.infisical !== undefined && { observer: telemetry.infisical }),
    ...(redis !== undefined && { scopeLock: redis.scopeLock }),
  };
  const infisical = createInfisicalSecretStore(options, clock, (event, fields) =>
    log(EXPECTED.test(event) ? 'info' : 'warn', event, fields),
  );
  const time = new SystemMonotonicTime();
  const { protectedStore } = await import('./protection/protected-store.js');
  const guarded = protectedStore(infisical, store.timeoutMs, {
    time,
    log,
    ...(telemetry?.storeLoad !== undefined && { observer: telemetry.storeLoad }),
  });
  if (store.cache === undefined) return guarded;
  const { CachedSecretStore } = await import('./cache/cached.secret-store.js');
  return new CachedSecretStore(guarded, store.cache, {
    time,
    announcements: redis?.announcements ?? new NoAnnouncements(),
    ...(telemetry?.cache !== undefined && { observer: telemetry.cache }),
  });
}
