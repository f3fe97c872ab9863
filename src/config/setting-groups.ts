/** One environment variable. The README's table is generated from these. The groups below are parts of SETTING_DEFINITIONS. */
export interface SettingDefinition {
  readonly description: string;
  /** Used when the variable is absent or empty. */
  readonly default?: string;
  /** May also be given as `<NAME>_FILE`, a path whose content is the value. */
  readonly secret?: true;
}

/** The audit trail. */
export const AUDIT_DEFINITIONS = {
  AUDIT: {
    default: 'off',
    description:
      'Where the audit trail goes: `stdout`, `file`, `both`, or `off`. Set, an operation whose record is not taken is refused. See docs/audit.md.',
  },
  AUDIT_KEY: {
    secret: true,
    description:
      'Key of the chain of audit files and of the hashes of written values, at least 32 bytes; read at the start.',
  },
  AUDIT_FILE: { description: 'With `file` and `both`: path of the audit file; each replica needs its own.' },
  AUDIT_FILE_MAX_MIB: { default: '100', description: 'Size at which the audit file is rotated, in MiB.' },
  AUDIT_FILE_MAX_HOURS: { default: '24', description: 'Age at which the audit file is rotated, in hours.' },
  AUDIT_FILES_KEPT: {
    default: '0',
    description: 'How many rotated audit files are kept; older ones are deleted. `0`: all.',
  },
  AUDIT_DURABILITY: {
    default: 'os',
    description:
      '`os`: a record is taken when the operating system has it, which survives the end of the process; `fsync`: when the disk has it.',
  },
  AUDIT_DEADLINE_MS: {
    default: '2000',
    description:
      'How long an operation waits for its record to be taken before it is refused, in milliseconds.',
  },
} as const satisfies Record<string, SettingDefinition>;

/** How much load is taken, and how much may be stored. */
export const LIMIT_DEFINITIONS = {
  RATE_LIMIT_APP_READS: {
    default: '200:400',
    description:
      'How many reads an app of a user may make: `<per second>`, or `<per second>:<at once>`; `0`: any. See docs/limits.md.',
  },
  RATE_LIMIT_APP_WRITES: { default: '20:100', description: 'The same for its writes.' },
  RATE_LIMIT_USER_READS: {
    default: '500:1000',
    description: 'The same for the reads of a user, with those of all the apps of that user.',
  },
  RATE_LIMIT_USER_WRITES: { default: '50:200', description: 'The same for their writes.' },
  MAX_IN_FLIGHT: {
    default: '500',
    description:
      'How many requests are worked on at once, a quarter of them for one app at most; more are refused with 503.',
  },
  MAX_EVENT_LOOP_DELAY_MS: {
    default: '500',
    description:
      'How late the process may run, on average over a second, before it refuses requests with 503, in milliseconds; `0`: never.',
  },
  QUOTA_WORKSPACE_SECRETS: {
    default: '1000',
    description:
      'How many secrets a workspace may hold in each environment; writes beyond it are refused with 507, `0`: any number. See docs/limits.md.',
  },
  QUOTA_WORKSPACE_MIB: {
    default: '4',
    description: 'How much their names and values may take together, in MiB; `0`: any amount.',
  },
  QUOTA_USER_SECRETS: {
    default: '10000',
    description: 'How many secrets a user may hold in all workspaces and environments; `0`: any number.',
  },
  QUOTA_USER_MIB: {
    default: '64',
    description: 'How much they may take together, in MiB; `0`: any amount.',
  },
} as const satisfies Record<string, SettingDefinition>;

/** What differs between the releases of Olares, and what its own callers may do. */
export const OLARES_DEFINITIONS = {
  OLARES_RELEASE: {
    default: 'auto',
    description:
      'With `kubernetes`: which Olares this is, `up-to-1.12.0` or `since-1.12.1`; `auto`: found by its ClusterRoles. See docs/olares.md.',
  },
  LEFTOVER_PERMISSIONS: {
    default: 'deny',
    description:
      'With `kubernetes` on Olares 1.12.1 and later: `grant` lets the ApplicationPermissions of installed apps count that an earlier one left behind.',
  },
  PERMISSION_PROVIDER: {
    description:
      'With `kubernetes`: how apps of Olares 1.12.1 and later name this service under `permission.provider`, `<appName>/<providerName>`, or `<namespace>:<appName>/<providerName>` for those that state a namespace; unset, that grants nothing.',
  },
  STATIC_GRANTS: {
    description:
      "With `kubernetes`: what Olares' own callers may do, as YAML or JSON: a list of `serviceAccount`, `workspaces`, `operations`. See docs/grants.md.",
  },
  SYSTEM_SERVER_PROOF: {
    default: 'address',
    description:
      'With `kubernetes`: what proves a system-server, which may then name the app of a call. `address`: that of its pod; `off`: nothing, as Olares 1.12.1 and later need it. See docs/olares.md.',
  },
  PREDECESSOR_SERVICE: {
    default: 'false',
    description:
      "With `kubernetes`: `true` says that this service also stands at `infisical-service.os-protected`, the predecessor's name, where `SYSTEM_SERVER_PROOF` must be `off`.",
  },
} as const satisfies Record<string, SettingDefinition>;

/** Redis, which replicas share. */
export const REDIS_DEFINITIONS = {
  REDIS_URL: {
    secret: true,
    description:
      'Redis that all replicas share, `redis://user:password@host:6379/0`, or `rediss://` for TLS; unset, there is none. See docs/redis.md.',
  },
  REDIS_CA_FILE: {
    description: "PEM file of certificate authorities to trust for Redis beside Node's own.",
  },
  REDIS_KEY_PREFIX: {
    default: 'osp:',
    description: 'Prefix of the names of keys and of the channel, for a Redis that serves others too.',
  },
  REDIS_SENTINEL_HOSTS: {
    description:
      "Sentinels as `host:port`, separated by commas; set, they name the primary's address, and `REDIS_URL` its user, password and database.",
  },
  REDIS_SENTINEL_MASTER_NAME: { default: 'mymaster', description: 'Name of the primary at the Sentinels.' },
  REDIS_SENTINEL_USERNAME: { description: 'User at the Sentinels, if they need one.' },
  REDIS_SENTINEL_PASSWORD: { secret: true, description: 'Password at the Sentinels.' },
  REDIS_SENTINEL_ENABLE_TLS: { default: 'false', description: '`true`: the Sentinels speak TLS.' },
} as const satisfies Record<string, SettingDefinition>;
