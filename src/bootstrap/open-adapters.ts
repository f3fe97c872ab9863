import type { Registration } from '../registration/manifests';
import type { RateLimits } from '../limits/rate-limits';
import type { UserPresence, UserDirectory } from '../authn/user-token.verifier';
import type { ServiceAccountAuthenticator } from '../authn/service-account.authenticator';
import type { PeerVerifier } from '../authn/peer-verifier';
import type { GrantSource } from '../authz/grant-source';
import type { ServiceCredentials } from './credentials';
import { NoInvalidationBus } from '../stores/cached/invalidation-bus';
import { SystemClock, type MonotonicTime, SystemMonotonicTime, type Clock } from '../time/clock';
import type { InfisicalStoreSettings, Settings } from '../config/settings';
import { reloadedCredentials, reloadedLogin } from './credentials';
import { infisicalConnection } from './infisical-connection';
import type { DeletionJobStorage } from '../user-deprovisioning/deletion-job-storage';
import { IdentityDependency } from '../authn/identity-dependency';
import { LldapUserDirectory } from '../lldap/lldap.user-directory';
import type { LogEvent } from '../logging/log';
import { openRedis, type SharedRedis } from './open-redis';
import { QuotaSecretStore } from '../stores/quota/quota.secret-store';
import { WatchedFiles } from '../reloadable/watched-files';
import type { SecretStore } from '../secrets/secret-store';
import { startTelemetry } from './start-telemetry';
import type { Telemetry } from '../telemetry/telemetry';

/** The adapters behind the ports, chosen once from the settings or provided by a test. */
export interface Adapters {
  /** The system's own by default. */
  readonly time?: MonotonicTime;
  readonly clock: Clock;
  readonly store: SecretStore;
  readonly deletionJobs: DeletionJobStorage;
  /** Present where credentials may change; otherwise those of the settings count. */
  readonly credentials?: ServiceCredentials;
  readonly grantSource: GrantSource;
  readonly userDirectory?: UserDirectory;
  readonly peerVerifier?: PeerVerifier;
  /** Present where replicas share rate limits; otherwise this process has its own. */
  readonly rateLimits?: RateLimits;
  /** Present in a cluster. */
  readonly users?: UserPresence;
  /** Present in a cluster. */
  readonly serviceAccounts?: ServiceAccountAuthenticator;
  readonly telemetry?: Telemetry;
  /** Started once the server listens, and closed before requests are drained, so that no replica registers again during an uninstall. */
  readonly registration?: Registration;
  /** Stops watching the files of credentials. */
  readonly closeCredentials?: () => void;
  /** Returns the problems that an operator should fix although the service is ready, one sentence each. */
  readonly problems?: () => readonly string[];
  /** To be called after the store is closed. */
  readonly closeRedis?: () => Promise<void>;
  /** Stops the informers of the cluster, except the grant source's. */
  readonly closeCluster?: () => Promise<void>;
}

const LLDAP_TIMEOUT_MS = 3_000;

/** Chooses the adapters that the settings name and opens them. */
export async function openAdapters(settings: Settings, log: LogEvent): Promise<Adapters> {
  const clock = new SystemClock();
  const files = new WatchedFiles(clock, new SystemMonotonicTime(), log);
  const telemetry = await startTelemetry(settings, clock, log);
  const credentials = reloadedCredentials(settings, files);
  const time = new SystemMonotonicTime();
  const [key, observer] = [credentials.accessTokenKey, telemetry?.redis];
  const redis = await openRedis(settings, { time, log, files, key, observer });
  const [{ store, deletionJobs, problems: storeProblems }, grants] = await Promise.all([
    openStore(settings, { clock, log, files, telemetry, redis }),
    openGrants(settings.grants, clock, log, telemetry),
  ]);
  const lldap = openLldap(settings.userToken.lldapUrl, { clock, time, log, telemetry });
  return {
    clock,
    deletionJobs,
    store: withQuotas(store, settings.quotas, { telemetry, redis }),
    credentials,
    closeCredentials: () => files.close(),
    ...grants,
    ...(telemetry !== undefined && { telemetry }),
    ...(redis !== undefined && { rateLimits: redis.rateLimits, closeRedis: redis.close }),
    problems: () =>
      [
        storeProblems,
        () => eventProblems(settings.grants),
        grants.problems,
        redis?.problems,
        lldap?.problems,
      ].flatMap((problems) => problems?.() ?? []),
    ...(lldap !== undefined && { userDirectory: lldap.userDirectory }),
  };
}

/** Reports that no ServiceAccount may send user events although we subscribe to them: each event would get 401. */
function eventProblems(grants: Settings['grants']): readonly string[] {
  if (grants.kind !== 'kubernetes' || grants.registration === undefined) return [];
  if (grants.systemEventServiceAccounts.length > 0) return [];
  return [
    "Nobody may tell of deleted users, whose secrets stay: SYSTEM_EVENT_SERVICE_ACCOUNTS is unset (Olares' sender is os-framework:tapr-sysevent).",
  ];
}

/** Probes LLDAP at once without waiting for it, so that a wrong address is reported before the first call. */
function openLldap(
  url: string | undefined,
  { clock, time, log, telemetry }: Pick<StoreDeps, 'clock' | 'log' | 'telemetry'> & { time: MonotonicTime },
): Pick<Required<Adapters>, 'userDirectory' | 'problems'> | undefined {
  if (url === undefined) return undefined;
  const observer = telemetry?.dependencies;
  const dependency = new IdentityDependency('lldap', {
    time,
    log,
    ...(observer !== undefined && { observer }),
  });
  const options = { url, timeoutMs: LLDAP_TIMEOUT_MS };
  return {
    userDirectory: new LldapUserDirectory(options, clock, time, dependency),
    problems: () => dependency.sentences(),
  };
}

/** Adds the quotas of the settings. */
function withQuotas(
  store: SecretStore,
  quotas: Settings['quotas'],
  { telemetry, redis }: Pick<StoreDeps, 'telemetry' | 'redis'>,
): SecretStore {
  const isLimited = [quotas.workspace, quotas.user].some(
    ({ secrets, bytes }) => Math.min(secrets, bytes) < Infinity,
  );
  if (!isLimited) return store;
  const limited = new QuotaSecretStore(store, quotas, {
    time: new SystemMonotonicTime(),
    ...(telemetry?.quotas !== undefined && { observer: telemetry.quotas }),
  });
  redis?.invalidationBus.listen((written) =>
    limited.writtenElsewhere(written === 'unknown' ? undefined : written.scope),
  );
  return limited;
}

/** Imports only the chosen source: the other one would cost start time and memory. */
async function openGrants(
  settings: Settings['grants'],
  clock: Clock,
  log: LogEvent,
  telemetry: Telemetry | undefined,
): Promise<
  Pick<
    Adapters,
    | 'grantSource'
    | 'peerVerifier'
    | 'serviceAccounts'
    | 'users'
    | 'problems'
    | 'closeCluster'
    | 'registration'
  >
> {
  if (settings.kind === 'directory') {
    const { DirectoryGrantSource } = await import('../grant-sources/directory/directory.grant-source.js');
    return { grantSource: await DirectoryGrantSource.open({ dir: settings.dir, log }) };
  }
  const { openCluster } = await import('./open-cluster.js');
  const { KubernetesGrantSource } = await import('../grant-sources/kubernetes/kubernetes.grant-source.js');
  const { informerDeps, peerVerifier, serviceAccounts, users, problems, close } = openCluster(
    settings,
    clock,
    log,
    telemetry,
  );
  const grantSource = await KubernetesGrantSource.open(informerDeps, settings.maxAgeMs);
  const opened = { grantSource, peerVerifier, serviceAccounts, users, problems, closeCluster: close };
  if (settings.registration === undefined) return opened;
  const { openRegistration } = await import('../registration/open-registration.js');
  const registration = openRegistration(settings.registration, grantSource, informerDeps);
  return { ...opened, registration, problems: () => [...problems(), ...registration.problems()] };
}

interface StoreDeps {
  readonly clock: Clock;
  readonly log: LogEvent;
  readonly files: WatchedFiles;
  readonly telemetry: Telemetry | undefined;
  readonly redis: SharedRedis | undefined;
}

type OpenedStore = Pick<Adapters, 'store' | 'deletionJobs' | 'problems'>;

/** Imports only the chosen store: the other one would cost start time and memory. */
async function openStore(settings: Settings, deps: StoreDeps): Promise<OpenedStore> {
  const { store } = settings;
  if (store.kind === 'infisical') return openInfisical(store, settings, deps);
  const { EmbeddedSecretStore } = await import('../stores/embedded/embedded.secret-store.js');
  const embedded = await EmbeddedSecretStore.open(store);
  const { tornTailsIn } = await import('../stores/embedded/vault/torn-tail.js');
  const torn = await tornTailsIn(store.dataDir);
  for (const file of torn) deps.log('warn', 'embedded_store_tail_put_aside', { file });
  deps.telemetry?.disk?.opened(() => embedded.diskFigures());
  return {
    store: embedded,
    deletionJobs: embedded.deletionJobs,
    problems: () => [...embedded.problems(), ...torn.map(tornTail)],
  };
}

function tornTail(file: string): string {
  return `The end of a write that was never acknowledged, as a power cut leaves it, was put aside as ${file}: remove that file.`;
}

async function openInfisical(
  store: InfisicalStoreSettings,
  { credentialFiles }: Settings,
  { clock, log, files, telemetry, redis }: StoreDeps,
): Promise<OpenedStore> {
  const { createInfisicalStores } = await import('../stores/infisical/create-infisical-secret-store.js');
  const options = {
    ...store,
    ...infisicalConnection(store, files),
    ...reloadedLogin(store, credentialFiles, files),
    operationTimeoutMs: store.timeoutMs,
    ...(telemetry?.infisical !== undefined && { observer: telemetry.infisical }),
    ...(redis !== undefined && { scopeLock: redis.scopeLock }),
  };
  const { store: infisical, deletionJobs } = createInfisicalStores(options, clock, log);
  const time = new SystemMonotonicTime();
  const { resilientStore } = await import('../stores/resilience/resilient-store.js');
  const guarded = resilientStore(infisical, store.timeoutMs, {
    time,
    log,
    ...(telemetry?.storeLoad !== undefined && { observer: telemetry.storeLoad }),
  });
  if (store.cache === undefined)
    return { store: guarded, deletionJobs, problems: () => infisical.problems() };
  const { CachedSecretStore } = await import('../stores/cached/cached.secret-store.js');
  const cached = new CachedSecretStore(guarded, store.cache, {
    time,
    invalidationBus: redis?.invalidationBus ?? new NoInvalidationBus(),
    ...(telemetry?.cache !== undefined && { observer: telemetry.cache }),
  });
  return {
    store: cached,
    deletionJobs,
    problems: () => [...cached.problems(), ...infisical.problems()],
  };
}
