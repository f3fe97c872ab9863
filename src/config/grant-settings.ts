import { olaresSettings, staticGrants } from './olares-settings';
import type { EnvironmentReader } from './environment-reader';

const GRANT_FEEDS = ['application-permissions', 'manifests'] as const;

type GrantSettings = ReturnType<typeof grantSettings>;
export type KubernetesGrantSettings = Extract<GrantSettings, { kind: 'kubernetes' }>;

const ENDPOINT = /^([a-z]([-a-z0-9]{0,61}[a-z0-9])?)\.([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?):(\d{1,5})$/;
/** Of a namespace, or of the provider that we are. */
const LABEL_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SERVICE_ACCOUNT = /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?):([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)$/;

const PREDECESSOR_SERVICE = { service: 'infisical-service', namespace: 'os-protected' };

const KUBERNETES_VARIABLES = ['KUBECONFIG', 'HOME', 'KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT'];

export function grantSettings(read: EnvironmentReader) {
  if (read.oneOf('GRANTS_SOURCE', ['directory', 'kubernetes']) === 'directory') {
    if (read.text('PROVIDER_ENDPOINT') !== undefined) {
      read.problem('GRANTS_SOURCE', 'must be kubernetes when PROVIDER_ENDPOINT is set');
    }
    const dir = read.required('GRANTS_DIR', 'must name the folder of installed apps');
    return { kind: 'directory' as const, dir };
  }
  const registration = registrationSetting(read);
  return {
    kind: 'kubernetes' as const,
    ...grantFeeds(read),
    /** The variables by which every Kubernetes tool finds its cluster: in the pod, or by KUBECONFIG. */
    environment: read.variables(KUBERNETES_VARIABLES),
    maxAgeMs: read.integer('GRANTS_MAX_AGE_S', 60, 86_400) * 1000,
    audience: read.required('SERVICE_ACCOUNT_AUDIENCE', 'must be set'),
    /** Those that may call on behalf of users. */
    trustedServiceAccounts: serviceAccounts(read, 'TRUSTED_PROXY_SERVICE_ACCOUNTS'),
    /** What proves a system-server: the address of its pod, or nothing. */
    systemServerProof: systemServerProof(read, registration?.endpoint),
    /** Those that may report created and deleted users. */
    systemEventServiceAccounts: serviceAccounts(read, 'SYSTEM_EVENT_SERVICE_ACCOUNTS'),
    /** Those of the Settings app; in a namespace `<user>` stands for the user whom it serves. */
    settingsServiceAccounts:
      read.text('SETTINGS_ROUTES') === 'off'
        ? []
        : serviceAccounts(read, 'SETTINGS_SERVICE_ACCOUNTS', '<user>'),
    olares: olaresSettings(read),
    /** What the system's own callers may do. */
    staticGrants: staticGrants(read),
    /** Where absent, nothing is registered. */
    ...(registration !== undefined && { registration }),
  };
}

/**
 * At the Service of the predecessor calls come through a plain TCP proxy of each system-server: whatever an app writes there
 * has system-server's address, which must then prove nothing.
 */
function systemServerProof(read: EnvironmentReader, endpoint: ReturnType<typeof endpointIn>) {
  const proof = read.oneOf('SYSTEM_SERVER_PROOF', ['address', 'off']);
  const { service, namespace } = PREDECESSOR_SERVICE;
  const isPredecessor = endpoint?.service === service && endpoint.namespace === namespace;
  if ((read.boolean('PREDECESSOR_SERVICE') || isPredecessor) && proof !== 'off')
    read.problem(
      'SYSTEM_SERVER_PROOF',
      `must be off where this service is ${service}.${namespace}: apps reach it there from system-server's own address`,
    );
  return proof;
}

/** Returns the kinds of resources that grants are read from, each once, and with `manifests` where approvals are kept. */
function grantFeeds(read: EnvironmentReader): {
  readonly feeds: readonly (typeof GRANT_FEEDS)[number][];
  readonly approvalsNamespace?: string;
} {
  const named = (read.text('GRANT_FEEDS') ?? '').split(',').map((name) => name.trim());
  const feeds = GRANT_FEEDS.filter((feed) => named.includes(feed));
  if (feeds.length !== named.length)
    read.problem('GRANT_FEEDS', `must be some of ${GRANT_FEEDS.join(', ')}, each once, separated by commas`);
  if (!feeds.includes('manifests')) return { feeds };
  const approvalsNamespace = read.required(
    'GRANT_APPROVALS_NAMESPACE',
    'must be set when GRANT_FEEDS has manifests',
  );
  if (approvalsNamespace !== '' && !LABEL_NAME.test(approvalsNamespace))
    read.problem('GRANT_APPROVALS_NAMESPACE', 'must be the name of a namespace');
  return { feeds, approvalsNamespace };
}

/** Returns whose `X-Remote-User` is believed. */
export function rbacProxySetting(read: EnvironmentReader, grants: GrantSettings) {
  const mode = read.oneOf('RBAC_PROXY', ['off', 'service-accounts', 'system-server']);
  if (mode !== 'off' && grants.kind === 'directory') {
    read.problem('GRANTS_SOURCE', `must be kubernetes when RBAC_PROXY is ${mode}`);
  } else if (mode === 'service-accounts' && read.text('TRUSTED_PROXY_SERVICE_ACCOUNTS') === undefined) {
    read.problem('TRUSTED_PROXY_SERVICE_ACCOUNTS', 'must be set when RBAC_PROXY is service-accounts');
  } else if (mode === 'system-server' && grants.kind === 'kubernetes' && grants.systemServerProof === 'off') {
    read.problem('RBAC_PROXY', 'must not be system-server when SYSTEM_SERVER_PROOF is off');
  }
  return mode;
}

/**
 * Returns who may call the Settings routes: nobody, the proven Settings app, or everybody who has the user's token. Where
 * grants are from a folder no ServiceAccount can be proven, so `service-accounts` means `off` there.
 */
export function settingsRoutesSetting(read: EnvironmentReader, grants: GrantSettings) {
  const mode = read.oneOf('SETTINGS_ROUTES', ['service-accounts', 'user-token', 'off']);
  if (grants.kind === 'directory') return mode === 'service-accounts' ? 'off' : mode;
  if (mode === 'user-token') {
    read.problem(
      'SETTINGS_ROUTES',
      'must not be user-token when GRANTS_SOURCE is kubernetes: every app holds the token of its user',
    );
  }
  return mode;
}

/** @param placeholder may stand once for a part of the namespace */
function serviceAccounts(
  read: EnvironmentReader,
  setting: 'TRUSTED_PROXY_SERVICE_ACCOUNTS' | 'SYSTEM_EVENT_SERVICE_ACCOUNTS' | 'SETTINGS_SERVICE_ACCOUNTS',
  placeholder?: string,
): readonly { readonly namespace: string; readonly name: string }[] {
  const entries = read.text(setting)?.split(',') ?? [];
  const accounts = entries.map((entry) => {
    const [namespace = '', name] = entry.trim().split(/:(.*)/s);
    const example = placeholder === undefined ? namespace : namespace.replace(placeholder, 'x');
    return name !== undefined && SERVICE_ACCOUNT.test(`${example}:${name}`) ? { namespace, name } : undefined;
  });
  if (accounts.includes(undefined)) {
    const rule = 'must be namespace:name, separated by commas';
    read.problem(
      setting,
      placeholder === undefined ? rule : `${rule}; ${placeholder} may stand in a namespace`,
    );
  }
  return accounts.filter((account) => account !== undefined);
}

/** Returns undefined where nothing is registered. */
function registrationSetting(read: EnvironmentReader) {
  const kind = read.oneOf('PROVIDER_REGISTRATION', ['provider-registry', 'rbac', 'both']);
  // The name by which apps call us at system-server, with `rbac`.
  const providerName = read.required('PROVIDER_NAME', 'must be set');
  if (!LABEL_NAME.test(providerName))
    read.problem('PROVIDER_NAME', 'must be 1-63 of a-z, 0-9 and -, and neither begin nor end with a -');
  // The address at which callers reach us.
  const text = read.text('PROVIDER_ENDPOINT');
  if (text === undefined) return undefined;
  const endpoint = endpointIn(text);
  if (endpoint === undefined) {
    read.problem('PROVIDER_ENDPOINT', 'must be <service>.<namespace>:<port>');
    return undefined;
  }
  return { kind, endpoint, providerName };
}

/** Returns the parts of `<service>.<namespace>:<port>`; undefined for another text. */
export function endpointIn(text: string) {
  const [, service, , namespace, , digits] = ENDPOINT.exec(text) ?? [];
  const port = Number(digits);
  if (service === undefined || namespace === undefined || port < 1 || port > 65_535) return undefined;
  return { service, namespace, port };
}
