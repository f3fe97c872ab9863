import {
  APP_NAME,
  APP_NAME_RULE,
  grantSet,
  SECRET_OPERATIONS,
  SERVICE_ACCOUNT_NAME,
  WORKSPACE_NAME,
  WORKSPACE_RULE,
} from '../../authz/grant';
import {
  CLOSE_LIST,
  CLOSE_OBJECT,
  endOfString,
  OPEN_LIST,
  OPEN_OBJECT,
  ownField,
  QUOTE,
} from '../../json/json';
import { createdAtMs, isBeingDeleted, type KubeObject } from '../../kubernetes/kube-object';
import { parseSysData, type SysDataRefusal, type SysDataWarning } from '../../authz/sys-data';
import type { GrantReading, StatedClaim } from './kubernetes.grant-source';

const NOT_INSTALLED: GrantReading = { kind: 'notInstalled' };

export const APPLICATION_PERMISSIONS = '/apis/sys.bytetrade.io/v1alpha1/applicationpermissions';

/** The rest of the namespace's name is the user's name; no other field of the resource is read for it. */
const SYSTEM_NAMESPACE = 'user-system-';
/** States of an app that is not installed, or not yet. */
const OUTSIDE_STATES: readonly unknown[] = ['draft', 'submitted', 'passed', 'rejected'];
const MAX_TEXT_LENGTH = 1024;

/** Reads what an ApplicationPermission grants. */
export function readApplicationPermission(object: KubeObject): GrantReading {
  const { namespace, body } = object;
  const { spec, status } = body;
  const state = ownField(status, 'state');
  if (OUTSIDE_STATES.includes(state)) return NOT_INSTALLED;
  const user = namespace.startsWith(SYSTEM_NAMESPACE) ? namespace.slice(SYSTEM_NAMESPACE.length) : '';
  const app = ownField(spec, 'app');
  const appKey = ownField(spec, 'key');
  const appSecret = ownField(spec, 'secret');
  const isNamed = APP_NAME.test(user) && typeof app === 'string' && APP_NAME.test(app);
  const stated = isNamed ? statedBy(app, user, object) : undefined;
  const readable = stated === undefined || 'refused' in stated ? undefined : stated;
  const claim = Array.isArray(ownField(spec, 'permissions')) ? readable : undefined;
  const refused = (reason: string): GrantReading => ({ kind: 'refused', reason, claim });
  // A resource that only a finalizer still holds grants nothing any more.
  if (isBeingDeleted(object) || state !== 'active') return { kind: 'inactive', claim };
  if (!namespace.startsWith(SYSTEM_NAMESPACE)) return refused('only resources in user-system-<user> count');
  if (!APP_NAME.test(user)) return refused(`the user ${APP_NAME_RULE}`);
  if (stated === undefined) return refused(`spec.app ${APP_NAME_RULE}`);
  if (!isText(appKey)) return refused('spec.key must be text');
  if (!isText(appSecret)) return refused('spec.secret must be text');
  if ('refused' in stated) return refused(`spec.permissions states ${stated.refused}`);
  const { installed, installedAtMs, warnings } = stated;
  return { kind: 'installed', installed: { ...installed, appKey, appSecret }, installedAtMs, warnings };
}

function statedBy(
  app: string,
  user: string,
  object: KubeObject,
): (StatedClaim & { readonly warnings: readonly SysDataWarning[] }) | SysDataRefusal {
  const read = parseSysData(ownField(object.body['spec'], 'permissions'), app);
  if ('refused' in read) return read;
  const installed = { app, user, grants: grantSet(read.grants) };
  return { installed, installedAtMs: createdAtMs(object), warnings: read.warnings };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.length <= MAX_TEXT_LENGTH;
}

export const APPLICATION_MANAGERS = '/apis/app.bytetrade.io/v1alpha1/applicationmanagers';

/** How an app names us under `permission.provider` of its manifest. */
export interface PermissionProvider {
  readonly appName: string;
  readonly providerName: string;
  /** Where set, an entry that states a namespace must state this one; else it must state none. */
  readonly namespace?: string;
}

/** What an ApplicationManager says of one app of one user. */
export interface ManagedApp {
  /** Empty where the names cannot be read. */
  readonly app: string;
  readonly user: string;
  readonly state: ManagedState;
  /** What its `permission.provider` grants here. */
  readonly reading: GrantReading;
}

/** `underway`: not installed yet, or in a state that we do not know. */
type ManagedState = 'installed' | 'stopped' | 'uninstalled' | 'underway';

const STATES: ReadonlyMap<unknown, ManagedState> = new Map([
  ...[
    ['running', 'initializing', 'upgrading', 'upgradeFailed', 'applyingEnv', 'applyEnvFailed'],
    ['resuming', 'resumeFailed', 'stopping', 'stopFailed'],
  ]
    .flat()
    .map((state) => [state, 'installed'] as const),
  ...['stopped', 'suspend'].map((state) => [state, 'stopped'] as const),
  ['uninstalled', 'uninstalled'] as const,
]);

/** Real ones have some 10 KiB, nested ten deep, and name a handful of providers. */
const MAX_CONFIG_LENGTH = 256 * 1024;
const MAX_DEPTH = 32;
const MAX_PROVIDERS = 1_000;

/**
 * Returns a reader of ApplicationManagers. An app that names us under `permission.provider` holds all five operations on the
 * workspace named like it: provider, paths and verbs are all that such a manifest can state (contract of 1.12, section 2).
 * @param provider undefined where `permission.provider` is not read
 * @param reserved workspaces that no app gets by its name, since the system's own callers keep secrets there
 */
export function applicationManagerReader(
  provider: PermissionProvider | undefined,
  reserved: ReadonlySet<string>,
): (object: KubeObject) => ManagedApp {
  return (object) => {
    const { spec, status } = object.body;
    const [app, user] = [nameIn(spec, 'appName'), nameIn(spec, 'appOwner')];
    const state = isBeingDeleted(object)
      ? 'uninstalled'
      : (STATES.get(ownField(status, 'state')) ?? 'underway');
    const mayGrant = provider !== undefined && (state === 'installed' || state === 'stopped');
    if (!mayGrant) return { app, user, state, reading: NOT_INSTALLED };
    const stated = statedIn(ownField(spec, 'config'), provider);
    if (stated === undefined) return { app, user, state, reading: NOT_INSTALLED };
    const reason = 'refused' in stated ? stated.refused : refusalOf(app, user, spec, reserved);
    if (reason !== undefined || 'refused' in stated)
      return { app, user, state, reading: { kind: 'refused', reason: reason ?? '', claim: undefined } };
    const grants = grantSet(SECRET_OPERATIONS.map((operation) => ({ operation, workspace: app })));
    const { serviceAccount } = stated;
    const installed = { app, user, grants, namespace: `${app}-${user}`, serviceAccount };
    const claim = { installed, installedAtMs: createdAtMs(object) };
    const reading: GrantReading =
      state === 'stopped' ? { kind: 'inactive', claim } : { kind: 'installed', ...claim, warnings: [] };
    return { app, user, state, reading };
  };
}

/** Returns why an app that names us gets nothing. The namespaces of shared charts name no calling user. */
function refusalOf(
  app: string,
  user: string,
  spec: unknown,
  reserved: ReadonlySet<string>,
): string | undefined {
  if (app === '') return `spec.appName ${APP_NAME_RULE}`;
  if (user === '') return `spec.appOwner ${APP_NAME_RULE}`;
  if (ownField(spec, 'appNamespace') !== `${app}-${user}`)
    return 'spec.appNamespace is not <appName>-<appOwner>, so that its pods name no user';
  if (!WORKSPACE_NAME.test(app)) return `the workspace named like the app ${WORKSPACE_RULE}`;
  return reserved.has(app) ? `the workspace ${app} is kept for Olares' own callers` : undefined;
}

/**
 * Returns as which ServiceAccount an app's pods run, by its config, which is written in Go with the names of Go; undefined where it
 * does not name us.
 */
function statedIn(
  config: unknown,
  provider: PermissionProvider,
): { readonly serviceAccount: string } | { readonly refused: string } | undefined {
  // Most apps do not name us, and their configs need not be parsed.
  if (typeof config !== 'string' || !config.includes(provider.appName)) return undefined;
  if (!config.includes(provider.providerName)) return undefined;
  const parsed = parsedConfig(config);
  if ('refused' in parsed) return parsed;
  const permission = ownField(parsed.value, 'Permission');
  if (permission === undefined || permission === null) return undefined;
  if (!Array.isArray(permission)) return { refused: 'Permission in spec.config is not a list' };
  // Strings stand for folders; the providers are one list among them.
  const entries = (permission as readonly unknown[]).filter(Array.isArray).flat() as readonly unknown[];
  if (entries.length > MAX_PROVIDERS)
    return { refused: `spec.config states more than ${MAX_PROVIDERS} providers` };
  const ours = entries.filter(
    (entry) =>
      ownField(entry, 'appName') === provider.appName &&
      ownField(entry, 'providerName') === provider.providerName,
  );
  if (ours.length === 0) return undefined;
  const isHere = (namespace: unknown) =>
    namespace === undefined || namespace === '' || namespace === provider.namespace;
  if (!ours.some((entry) => isHere(ownField(entry, 'namespace'))))
    return { refused: 'permission.provider names us in another namespace than PERMISSION_PROVIDER' };
  const named = ownField(parsed.value, 'ServiceAccountName') ?? '';
  const serviceAccount = named === '' ? 'default' : named;
  if (typeof serviceAccount === 'string' && SERVICE_ACCOUNT_NAME.test(serviceAccount))
    return { serviceAccount };
  return { refused: 'ServiceAccountName in spec.config is not the name of a ServiceAccount' };
}

function parsedConfig(config: string): { readonly value: unknown } | { readonly refused: string } {
  if (config.length > MAX_CONFIG_LENGTH)
    return { refused: `spec.config is longer than ${MAX_CONFIG_LENGTH} characters` };
  if (isDeep(Buffer.from(config))) return { refused: `spec.config is nested more than ${MAX_DEPTH} deep` };
  try {
    return { value: JSON.parse(config) as unknown };
  } catch {
    return { refused: 'spec.config is not JSON' };
  }
}

function isDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth += 1;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

function nameIn(spec: unknown, name: string): string {
  const value = ownField(spec, name);
  return typeof value === 'string' && APP_NAME.test(value) ? value : '';
}
