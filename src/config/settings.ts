import { type AuditSettings, auditSettings } from './audit-settings';
import { type ConnectionSettings, connectionSettings } from './connection-settings';
import { EnvironmentReader, type EnvironmentVariables } from './environment-reader';
import {
  type GrantSettings,
  grantSettings,
  type RbacProxySetting,
  rbacProxySetting,
  type SettingsRoutesSetting,
  settingsRoutesSetting,
} from './grant-settings';
import { type LimitSettings, limitSettings, type QuotaSettings, quotaSettings } from './limit-settings';
import { type RedisSettings, redisSettings } from './redis-settings';
import type { SecretSettingName } from './setting-definitions';
import { type TelemetrySettings, telemetrySettings } from './telemetry-settings';
import { type TlsSettings, tlsSettings } from './tls-settings';

export interface CacheSettings {
  readonly ttlMs: number;
  readonly maxStaleMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

interface EmbeddedStoreSettings {
  readonly kind: 'embedded';
  readonly dataDir: string;
  readonly masterKey: Uint8Array;
  readonly maxDiskReserveBytes: number;
}

/** Universal Auth or Kubernetes Auth. */
type InfisicalLogin =
  | { readonly clientId: string; readonly clientSecret: string }
  | { readonly identityId: string; readonly tokenFile: string };

export type InfisicalStoreSettings = InfisicalLogin &
  ConnectionSettings & {
    readonly kind: 'infisical';
    readonly url: string;
    readonly organizationId?: string;
    readonly timeoutMs: number;
    readonly cache?: CacheSettings;
  };

interface UserTokenSettings {
  readonly secret: Uint8Array;
  readonly required: boolean;
  readonly lldapUrl?: string;
  readonly adminGroup?: string;
}

export interface Settings extends TelemetrySettings {
  readonly host: string;
  readonly port: number;
  readonly logLevel: LogLevel;
  readonly logFormat: 'auto' | 'json' | 'pretty';
  readonly shutdownTimeoutMs: number;
  readonly responseStyle: 'documented' | 'sidecar';
  /** Whether the OpenAPI document and its page are served. */
  readonly apiDocs: boolean;
  readonly grants: GrantSettings;
  readonly workspaceSharing: 'allow' | 'deny';
  readonly rbacProxy: RbacProxySetting;
  readonly settingsRoutes: SettingsRoutesSetting;
  readonly limits: LimitSettings;
  readonly quotas: QuotaSettings;
  readonly userToken: UserTokenSettings;
  readonly accessTokenKey: Uint8Array;
  readonly store: EmbeddedStoreSettings | InfisicalStoreSettings;
  readonly tls?: TlsSettings;
  /** Absent where nothing is audited. */
  readonly audit?: AuditSettings;
  /** Absent where this replica runs alone. */
  readonly redis?: RedisSettings;
  /** The paths of the secrets above that were read from files, which may change. */
  readonly credentialFiles: Readonly<Partial<Record<SecretSettingName, string>>>;
}

/** Lists every problem of the configuration by variable name; the message contains no value. */
export class InvalidSettings extends Error {
  constructor(readonly problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    );
    this.name = 'InvalidSettings';
  }
}

const LOG_LEVELS = [
  'info',
  'trace',
  'debug',
  'warn',
  'error',
  'silent',
] as const satisfies readonly LogLevel[];

/** @throws InvalidSettings */
export function loadSettings(env: EnvironmentVariables): Settings {
  const read = new EnvironmentReader(env);
  const lldapUrl = read.url('LLDAP_URL');
  if (lldapUrl?.startsWith('https:') === true && env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    read.problem('NODE_TLS_REJECT_UNAUTHORIZED', "must not be 0: LLDAP's certificate would go unverified");
  }
  const adminGroup = read.text('ADMIN_GROUP');
  const grants = grantSettings(read);
  const host = read.required('HOST', 'must be set');
  const port = read.integer('PORT', 0, 65_535);
  const tls = tlsSettings(read);
  if (tls !== undefined && grants.kind === 'kubernetes' && grants.registration !== undefined) {
    read.problem('PROVIDER_ENDPOINT', 'and TLS_CERT_FILE do not go together: system-server calls plain http');
  }
  const redis = redisSettings(read);
  const audit = auditSettings(read);
  const settings: Settings = {
    host,
    port,
    ...telemetrySettings(read, { host, port }),
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS),
    logFormat: read.oneOf('LOG_FORMAT', ['auto', 'json', 'pretty']),
    shutdownTimeoutMs: read.integer('SHUTDOWN_TIMEOUT_MS', 100, 600_000),
    responseStyle: read.oneOf('RESPONSE_STYLE', ['documented', 'sidecar']),
    apiDocs: apiDocs(read, env),
    grants,
    workspaceSharing: read.oneOf('WORKSPACE_SHARING', ['allow', 'deny']),
    rbacProxy: rbacProxySetting(read, grants),
    settingsRoutes: settingsRoutesSetting(read, grants),
    limits: limitSettings(read),
    quotas: quotaSettings(read),
    userToken: {
      secret: read.key('USER_TOKEN_SECRET', "must hold the key of the users' tokens"),
      required: read.boolean('USER_TOKEN_REQUIRED'),
      ...(lldapUrl === undefined ? {} : { lldapUrl }),
      ...(adminGroup === undefined ? {} : { adminGroup }),
    },
    accessTokenKey: read.key('ACCESS_TOKEN_KEY', 'must hold the key that signs access tokens'),
    store: storeSettings(read, env),
    ...(tls !== undefined && { tls }),
    ...(redis !== undefined && { redis }),
    ...(audit !== undefined && { audit }),
    credentialFiles: read.files,
  };
  if (read.problems.length > 0) throw new InvalidSettings(read.problems);
  return Object.freeze(settings);
}

function apiDocs(read: EnvironmentReader, env: EnvironmentVariables): boolean {
  const asked = read.oneOf('API_DOCS', ['auto', 'on', 'off']);
  return asked === 'on' || (asked === 'auto' && env['NODE_ENV'] !== 'production');
}

const MEBIBYTE = 1_048_576;
const UNIVERSAL_AUTH = ['INFISICAL_CLIENT_ID', 'INFISICAL_CLIENT_SECRET'] as const;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Chooses Infisical where INFISICAL_URL is set, and the embedded store otherwise. */
function storeSettings(read: EnvironmentReader, env: EnvironmentVariables): Settings['store'] {
  const timeoutMs = read.integer('INFISICAL_TIMEOUT_MS', 100, 300_000);
  const cache = cacheSettings(read);
  if ((env['INFISICAL_URL'] ?? '') === '') {
    for (const name of [...UNIVERSAL_AUTH, 'INFISICAL_KUBERNETES_IDENTITY_ID'] as const) {
      if (isGiven(env, name)) read.problem('INFISICAL_URL', `must be set when ${name} is`);
    }
    return {
      kind: 'embedded',
      dataDir: read.required('DATA_DIR', 'must name the folder of the embedded store'),
      masterKey: read.key(
        'MASTER_KEY',
        'must hold the master key of the embedded store (or set INFISICAL_URL)',
      ),
      maxDiskReserveBytes: read.integer('DISK_RESERVE_MIB', 0, 65_536) * MEBIBYTE,
    };
  }
  const organizationId = read.text('INFISICAL_ORGANIZATION_ID')?.toLowerCase();
  if (organizationId !== undefined && !UUID.test(organizationId))
    read.problem(
      'INFISICAL_ORGANIZATION_ID',
      'must be the id of an organization, a UUID, not its name or slug',
    );
  const url = read.url('INFISICAL_URL') ?? '';
  return {
    kind: 'infisical',
    url,
    ...connectionSettings(read, env, url),
    ...infisicalLogin(read, env),
    ...(organizationId === undefined ? {} : { organizationId }),
    timeoutMs,
    ...(cache !== undefined && { cache }),
  };
}

/** Reads the credentials of exactly one way to log in; both are a problem. */
function infisicalLogin(read: EnvironmentReader, env: EnvironmentVariables): InfisicalLogin {
  const identityId = read.text('INFISICAL_KUBERNETES_IDENTITY_ID');
  if (identityId === undefined) {
    const why =
      'must be set when INFISICAL_URL is (or INFISICAL_KUBERNETES_IDENTITY_ID, for Kubernetes Auth)';
    return {
      clientId: read.credential('INFISICAL_CLIENT_ID', why),
      clientSecret: read.credential('INFISICAL_CLIENT_SECRET', why),
    };
  }
  for (const name of UNIVERSAL_AUTH) {
    if (isGiven(env, name))
      read.problem('INFISICAL_KUBERNETES_IDENTITY_ID', `and ${name} are both set; choose one way to log in`);
  }
  const tokenFile = read.required('INFISICAL_KUBERNETES_TOKEN_FILE', 'must name a file');
  return { identityId, tokenFile };
}

/** Returns undefined where the cache is off. */
function cacheSettings(read: EnvironmentReader): CacheSettings | undefined {
  const ttlMs = read.integer('CACHE_TTL_MS', 0, 300_000);
  const settings = {
    ttlMs,
    maxStaleMs: read.integer('CACHE_MAX_STALE_MS', 0, 3_600_000),
    maxEntries: read.integer('CACHE_MAX_ENTRIES', 1, 1_000_000),
    maxBytes: read.integer('CACHE_MAX_MIB', 1, 4_096) * MEBIBYTE,
  };
  return ttlMs === 0 ? undefined : settings;
}

function isGiven(env: EnvironmentVariables, name: string): boolean {
  return [name, `${name}_FILE`].some((variable) => (env[variable] ?? '') !== '');
}
