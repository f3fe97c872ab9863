import { EnvironmentReader, type EnvironmentVariables } from './environment-reader';
import { grantSettings, rbacProxySetting, settingsRoutesSetting } from './grant-settings';
import { redisSettings } from './redis-settings';
import type { SettingName } from './setting-definitions';
import { storeSettings } from './store-settings';
import { tlsSettings } from './tls-settings';

/** The first is the one that stands in for a level that is none. */
const LOG_LEVELS = ['info', 'trace', 'debug', 'warn', 'error', 'silent'] as const;

export type Settings = Readonly<ReturnType<typeof loadSettings>>;
export type AuditSettings = NonNullable<Settings['audit']>;
export type LimitSettings = Settings['limits'];

/** Lists every problem of the configuration by variable name; the message contains no value. */
export class InvalidSettings extends Error {
  constructor(readonly problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    );
    this.name = 'InvalidSettings';
  }
}

/** @throws InvalidSettings */
export function loadSettings(env: EnvironmentVariables) {
  const read = new EnvironmentReader(env);
  const lldapUrl = read.url('LLDAP_URL');
  if (lldapUrl?.startsWith('https:') === true && env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0')
    read.problem('NODE_TLS_REJECT_UNAUTHORIZED', "must not be 0: LLDAP's certificate would go unverified");
  const adminGroup = read.text('ADMIN_GROUP');
  const grants = grantSettings(read);
  const host = read.required('HOST', 'must be set');
  const port = read.integer('PORT', 0, 65_535);
  const tls = tlsSettings(read);
  if (tls !== undefined && grants.kind === 'kubernetes' && grants.registration !== undefined)
    read.problem('PROVIDER_ENDPOINT', 'and TLS_CERT_FILE do not go together: system-server calls plain http');
  const redis = redisSettings(read);
  const audit = auditSettings(read);
  const settings = {
    host,
    port,
    ...telemetrySettings(read, { host, port }),
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS),
    logFormat: read.oneOf('LOG_FORMAT', ['auto', 'json', 'pretty']),
    shutdownTimeoutMs: read.integer('SHUTDOWN_TIMEOUT_MS', 100, 600_000),
    responseStyle: read.oneOf('RESPONSE_STYLE', ['documented', 'sidecar']),
    /** Whether the OpenAPI document and its page are served. */
    apiDocs: apiDocs(read, env),
    grants,
    workspaceSharing: read.oneOf('WORKSPACE_SHARING', ['allow', 'deny']),
    rbacProxy: rbacProxySetting(read, grants),
    settingsRoutes: settingsRoutesSetting(read, grants),
    limits: limitSettings(read),
    /** The quota of one workspace and environment, and that of one user. */
    quotas: {
      workspace: quota(read, 'QUOTA_WORKSPACE_SECRETS', 'QUOTA_WORKSPACE_MIB'),
      user: quota(read, 'QUOTA_USER_SECRETS', 'QUOTA_USER_MIB'),
    },
    userToken: {
      secret: read.key('USER_TOKEN_SECRET', "must hold the key of the users' tokens"),
      required: read.boolean('USER_TOKEN_REQUIRED'),
      ...(lldapUrl !== undefined && { lldapUrl }),
      ...(adminGroup !== undefined && { adminGroup }),
    },
    accessTokenKey: read.key('ACCESS_TOKEN_KEY', 'must hold the key that signs access tokens'),
    store: storeSettings(read, env),
    ...(tls !== undefined && { tls }),
    /** Absent where this replica runs alone. */
    ...(redis !== undefined && { redis }),
    /** Absent where nothing is audited. */
    ...(audit !== undefined && { audit }),
    /** The paths of the secrets above that were read from files, which may change. */
    credentialFiles: read.files,
  };
  if (read.problems.length > 0) throw new InvalidSettings(read.problems);
  return Object.freeze(settings);
}

function apiDocs(read: EnvironmentReader, env: EnvironmentVariables): boolean {
  const asked = read.oneOf('API_DOCS', ['auto', 'on', 'off']);
  return asked === 'on' || (asked === 'auto' && env['NODE_ENV'] !== 'production');
}

interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Metrics or traces that are not asked for are absent; their libraries are then not loaded. */
function telemetrySettings(read: EnvironmentReader, main: ListenAddress) {
  // The collector's base address.
  const endpoint = read.url('OTEL_EXPORTER_OTLP_ENDPOINT')?.replace(/\/v1\/traces$/, '');
  const share = shareIn(read);
  const metrics = read.text('METRICS_PORT') === undefined ? undefined : metricsAddress(read, main);
  return {
    ...(metrics !== undefined && { metrics }),
    ...(endpoint !== undefined && { traces: { endpoint, share } }),
  };
}

function metricsAddress(read: EnvironmentReader, main: ListenAddress): ListenAddress {
  const host = read.text('METRICS_HOST') ?? main.host;
  const port = read.integer('METRICS_PORT', 0, 65_535);
  if (port !== 0 && port === main.port) read.problem('METRICS_PORT', 'must be another port than PORT');
  return { host, port };
}

/** Returns the share of the traces that begin here which is sampled, 0 to 1; a caller's own trace follows the caller's decision. */
function shareIn(read: EnvironmentReader): number {
  const text = read.text('OTEL_TRACES_SAMPLER_ARG') ?? '';
  const share = /^(0|1|0?\.\d{1,9}|[01]\.0*)$/.test(text) ? Number(text) : NaN;
  if (share >= 0 && share <= 1) return share;
  read.problem('OTEL_TRACES_SAMPLER_ARG', 'must be a number from 0 to 1');
  return 0;
}

/** Returns undefined where nothing is audited. */
function auditSettings(read: EnvironmentReader) {
  const sinks = read.oneOf('AUDIT', ['off', 'stdout', 'file', 'both']);
  const deadlineMs = read.integer('AUDIT_DEADLINE_MS', 10, 60_000);
  const path = read.text('AUDIT_FILE');
  const limits = {
    maxFileBytes: read.integer('AUDIT_FILE_MAX_MIB', 1, 100_000) * 1_048_576,
    maxFileAgeMs: read.integer('AUDIT_FILE_MAX_HOURS', 1, 100_000) * 3_600_000,
    keptFiles: read.integer('AUDIT_FILES_KEPT', 0, 100_000),
    durability: read.oneOf('AUDIT_DURABILITY', ['os', 'fsync']),
  };
  if (sinks === 'off') return undefined;
  const key = read.key('AUDIT_KEY', 'must hold the key of the audit trail, since AUDIT is not off');
  if (sinks === 'stdout') return { sinks, key, deadlineMs };
  if (path === undefined) read.problem('AUDIT_FILE', `must name a file, since AUDIT is ${sinks}`);
  return { sinks, key, deadlineMs, file: { path: path ?? '', ...limits } };
}

/** `<per second>` or `<per second>:<burst>`; the rate may be a fraction. */
const RATE = /^(\d{1,6}(?:\.\d{1,3})?)(?::(\d{1,6}))?$/;

function limitSettings(read: EnvironmentReader) {
  const maxLoopDelayMs = read.integer('MAX_EVENT_LOOP_DELAY_MS', 0, 60_000);
  return {
    rates: {
      app: rates(read, 'RATE_LIMIT_APP_READS', 'RATE_LIMIT_APP_WRITES'),
      user: rates(read, 'RATE_LIMIT_USER_READS', 'RATE_LIMIT_USER_WRITES'),
    },
    maxInFlight: read.integer('MAX_IN_FLIGHT', 4, 100_000),
    /** Absent where the event loop's delay is not limited. */
    ...(maxLoopDelayMs > 0 && { maxLoopDelayMs }),
  };
}

/** An absent rate does not limit. */
function rates(read: EnvironmentReader, ofReads: SettingName, ofWrites: SettingName) {
  const [reads, writes] = [rateOf(read, ofReads), rateOf(read, ofWrites)];
  return { ...(reads !== undefined && { read: reads }), ...(writes !== undefined && { write: writes }) };
}

/** Returns undefined for a rate of 0. Without a stated burst it is what two seconds allow. */
function rateOf(read: EnvironmentReader, name: SettingName) {
  const [matched, rate = '', burst] = RATE.exec(read.text(name) ?? '') ?? [];
  const perSecond = Number(rate);
  const atOnce = burst === undefined ? Math.max(1, Math.ceil(2 * perSecond)) : Number(burst);
  if (matched === undefined || atOnce < 1 || (perSecond === 0 && burst !== undefined)) {
    read.problem(name, 'must be <per second> or <per second>:<at once>, such as 200:400, or 0');
    return undefined;
  }
  return perSecond === 0 ? undefined : { perSecond, burst: atOnce };
}

/** Infinity stands for no limit. */
function quota(read: EnvironmentReader, ofSecrets: SettingName, ofMebibytes: SettingName) {
  const secrets = read.integer(ofSecrets, 0, 100_000_000);
  const mebibytes = read.integer(ofMebibytes, 0, 1_000_000);
  return { secrets: secrets || Infinity, bytes: mebibytes * 1_048_576 || Infinity };
}
