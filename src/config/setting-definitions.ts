import {
  AUDIT_DEFINITIONS,
  LIMIT_DEFINITIONS,
  OLARES_DEFINITIONS,
  REDIS_DEFINITIONS,
  type SettingDefinition,
} from './setting-groups';

/**
 * Every setting of the service, in the order in which the README shows them; settings.ts reads them by these names. Beside them it
 * reads the variables by which Kubernetes tools find their cluster (grant-settings.ts), and NODE_TLS_REJECT_UNAUTHORIZED.
 */
export const SETTING_DEFINITIONS = {
  NODE_ENV: {
    description:
      '`production` switches development credentials off for good; any other value allows them on a loopback `HOST`.',
  },
  HOST: { default: '127.0.0.1', description: 'Address to listen on.' },
  PORT: { default: '8080', description: 'Port to listen on; `0` takes a free one.' },
  LOG_LEVEL: { default: 'info', description: '`trace`, `debug`, `info`, `warn`, `error` or `silent`.' },
  LOG_FORMAT: { default: 'auto', description: '`json`; `pretty`; `auto`: `pretty` on a terminal.' },
  SHUTDOWN_TIMEOUT_MS: {
    default: '10000',
    description: 'How long a SIGTERM waits for requests in flight before it cuts them off, in milliseconds.',
  },
  RESPONSE_STYLE: {
    default: 'documented',
    description:
      '`sidecar` answers as the predecessor did, for clients written against it: HTTP 200 always, `code: 0` for success.',
  },
  API_DOCS: {
    default: 'auto',
    description:
      '`on` or `off`: `/openapi.json` and the page `/docs`, for anybody; `auto`: on unless `NODE_ENV` is `production`.',
  },
  TLS_CERT_FILE: {
    description:
      "PEM file of the service's certificate with its chain; set, callers must speak https. Read anew when it changes, as most files here: see docs/tls.md.",
  },
  TLS_KEY_FILE: { description: 'PEM file of its private key.' },
  TLS_CLIENT_CA_FILE: {
    description:
      'PEM file of certificate authorities; set, every caller must show a client certificate of theirs in addition to the other credentials.',
  },
  TLS_CLIENT_SUBJECTS: {
    description:
      'Subjects whose client certificates are accepted: `CN=<name>`, `DNS=<name>` or `URI=<uri>`, separated by commas; unset, every subject.',
  },
  METRICS_PORT: {
    description:
      'Port for Prometheus: `/metrics`, and `/livez` and `/readyz` again; `0` takes a free one. Unset, there are no metrics. See docs/telemetry.md.',
  },
  METRICS_HOST: { description: 'Address of `METRICS_PORT`; unset, that of `HOST`.' },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    description:
      'OpenTelemetry collector that takes traces by OTLP over HTTP, e.g. `http://collector:4318`. Unset, there are no traces. See docs/telemetry.md.',
  },
  OTEL_TRACES_SAMPLER_ARG: {
    default: '1',
    description:
      'Share of the traces that are kept, `0` to `1`; a request that belongs to a trace already is kept if that trace is.',
  },
  GRANTS_SOURCE: {
    default: 'directory',
    description:
      'Where the grants are: `directory`, or `kubernetes` for the resources of the cluster. See docs/kubernetes.md.',
  },
  GRANT_FEEDS: {
    default: 'application-permissions',
    description:
      'With `kubernetes`: what grants are read from, separated by commas. `application-permissions`: what Olares up to 1.12.0 writes; `manifests`: the ConfigMaps in which apps carry their manifest on later ones. See docs/grants.md.',
  },
  GRANT_APPROVALS_NAMESPACE: {
    description:
      "With `manifests`: the service's own namespace, where approvals of grants are kept; whoever may write ConfigMaps there approves.",
  },
  GRANTS_DIR: {
    description:
      'Folder of installed apps: `<app>/OlaresManifest.yaml` beside `<app>/app.yaml`. See docs/grants.md.',
  },
  GRANTS_MAX_AGE_S: {
    default: '600',
    description:
      'With `kubernetes`: how long the last known grants go on serving while the API server does not answer, in seconds.',
  },
  WORKSPACE_SHARING: {
    default: 'allow',
    description:
      '`deny` leaves a workspace that several apps of a user state to the one that was installed first. See docs/grants.md.',
  },
  SERVICE_ACCOUNT_AUDIENCE: {
    default: 'olares-secret-provider',
    description: 'With `kubernetes`: the audience that the ServiceAccount tokens of calling pods must have.',
  },
  TRUSTED_PROXY_SERVICE_ACCOUNTS: {
    description:
      'With `kubernetes`: ServiceAccounts that may call on behalf of users, as `namespace:name`, separated by commas.',
  },
  RBAC_PROXY: {
    default: 'off',
    description:
      "With `kubernetes`: whose `X-Remote-User` is believed. `service-accounts`: that of the trusted ServiceAccounts; `system-server`: also that of each user's system-server, which today's does not protect. See docs/olares.md.",
  },
  ...OLARES_DEFINITIONS,
  SYSTEM_EVENT_SERVICE_ACCOUNTS: {
    description:
      'With `kubernetes`: ServiceAccounts that may report created and deleted users, as `namespace:name`, separated by commas; unset, nobody may.',
  },
  SETTINGS_ROUTES: {
    default: 'service-accounts',
    description:
      "Who may call `/admin/*`. `service-accounts`: the Settings app alone, so nobody with `directory`; `user-token`: whoever holds the user's token, not with `kubernetes`; `off`: nobody. See docs/olares.md.",
  },
  SETTINGS_SERVICE_ACCOUNTS: {
    default: 'user-space-<user>:system-frontend',
    description:
      'With `kubernetes`: ServiceAccounts of the Settings app, as `namespace:name`, separated by commas; `<user>` stands for the user of the token.',
  },
  PROVIDER_ENDPOINT: {
    description:
      "With `kubernetes`: this service's address in the cluster, `<service>.<namespace>:<port>`; set, it registers itself as every user's provider. See docs/kubernetes.md.",
  },
  PROVIDER_REGISTRATION: {
    default: 'provider-registry',
    description:
      'With `PROVIDER_ENDPOINT`: how system-server learns of it. `provider-registry`: by a ProviderRegistry for each user (Olares up to 1.12.0); `rbac`: by ClusterRoles for each app that holds grants (1.12.1 and later); `both`.',
  },
  PROVIDER_NAME: {
    default: 'secret-provider',
    description:
      'With `rbac`: the name by which apps call it at system-server, as the host `<name>.user-system-<user>`.',
  },
  USER_TOKEN_SECRET: {
    secret: true,
    description: "Key of the users' tokens (LLDAP's `lldap-jwt-secret`), at least 32 bytes.",
  },
  USER_TOKEN_REQUIRED: {
    default: 'true',
    description:
      '`false` lets background jobs call with `X-Access-Token` alone; an `X-Authorization` that is sent must still be valid.',
  },
  LLDAP_URL: {
    description:
      'Where LLDAP answers, e.g. `http://lldap-service.os-platform:17170`; set, logged-out tokens are refused within 60 s.',
  },
  ADMIN_GROUP: {
    description:
      'LLDAP group whose members may use the Settings routes for other users (`?user=<name>`); unset, nobody may.',
  },
  ACCESS_TOKEN_KEY: {
    secret: true,
    description: 'Key that signs the access tokens of apps, at least 32 bytes; the same on every replica.',
  },
  DATA_DIR: {
    default: 'data',
    description: 'Folder of the embedded store (and of development credentials).',
  },
  MASTER_KEY: {
    secret: true,
    description: "The embedded store's master key, at least 32 bytes. Without it nobody can read the data.",
  },
  DISK_RESERVE_MIB: {
    default: '64',
    description:
      'How much of its disk the embedded store keeps for deletes and its own start, in MiB: 12 and what is stored, this at most. `0`: nothing. See docs/embedded-store.md.',
  },
  INFISICAL_URL: {
    description:
      'Address of Infisical, with or without `/api` at its end; set, Infisical is the store instead of the embedded one.',
  },
  INFISICAL_CLIENT_ID: { secret: true, description: 'Client id of the machine identity (Universal Auth).' },
  INFISICAL_CLIENT_SECRET: { secret: true, description: 'Client secret of the machine identity.' },
  INFISICAL_KUBERNETES_IDENTITY_ID: {
    description:
      'Id of the machine identity for Kubernetes Auth, in place of client id and client secret: the pod logs in with its ServiceAccount token.',
  },
  INFISICAL_KUBERNETES_TOKEN_FILE: {
    default: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    description: "The pod's ServiceAccount token, read at each login.",
  },
  INFISICAL_ORGANIZATION_ID: {
    description:
      "Id of the machine identity's organization, a UUID; compared with what Infisical says; if it is another, the service is not ready. Olares' fork needs this setting.",
  },
  INFISICAL_TIMEOUT_MS: {
    default: '20000',
    description: 'How long one operation may take on Infisical, its retries included, in milliseconds.',
  },
  INFISICAL_CA_FILE: {
    description:
      "PEM file of certificate authorities to trust for Infisical beside Node's own; read anew when it changes.",
  },
  CACHE_TTL_MS: {
    default: '5000',
    description:
      'With Infisical: how long what was read is served from memory, in milliseconds; `0` switches the cache off. See docs/cache.md.',
  },
  CACHE_MAX_STALE_MS: {
    default: '60000',
    description:
      'How old a secret may be that is served while Infisical does not answer, in milliseconds; the answer says so. `0`: never.',
  },
  CACHE_MAX_ENTRIES: { default: '10000', description: 'How many workspaces (by environment) are cached.' },
  CACHE_MAX_MIB: { default: '32', description: 'How much memory they may take, in MiB.' },
  ...REDIS_DEFINITIONS,
  ...AUDIT_DEFINITIONS,
  ...LIMIT_DEFINITIONS,
  NODE_EXTRA_CA_CERTS: {
    description:
      'Of Node itself: PEM file of more certificate authorities, for Infisical, LLDAP and the API server; read at the start.',
  },
  HTTPS_PROXY: {
    secret: true,
    description:
      'Proxy for an https `INFISICAL_URL`, e.g. `http://user:password@proxy:3128`; also in lower case. Nothing but Infisical is called through it.',
  },
  HTTP_PROXY: { secret: true, description: 'The same for an http `INFISICAL_URL`.' },
  NO_PROXY: {
    description:
      'What is called without a proxy, separated by commas: `host`, `.suffix`, `address`, `network/bits`, each but the last also with `:port`, or `*`.',
  },
} as const satisfies Record<string, SettingDefinition>;

export type SettingName = keyof typeof SETTING_DEFINITIONS;
export type SecretSettingName = {
  [N in SettingName]: (typeof SETTING_DEFINITIONS)[N] extends { secret: true } ? N : never;
}[SettingName];
