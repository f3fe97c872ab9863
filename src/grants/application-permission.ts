import type { KubeObject } from '../kubernetes/kube-object';
import { APP_NAME, APP_NAME_RULE } from './app-name';
import { grantKey } from './grant';
import type { InstalledApp } from './installed-app';
import { parseSysData, type SysDataWarning } from './sys-data';

export const APPLICATION_PERMISSIONS = '/apis/sys.bytetrade.io/v1alpha1/applicationpermissions';

/** What one ApplicationPermission says. */
export type PermissionReading =
  | {
      readonly kind: 'installed';
      readonly installed: InstalledApp;
      readonly installedAtMs: number;
      readonly warnings: readonly SysDataWarning[];
    }
  /** It grants nothing, as its state says. */
  | { readonly kind: 'inactive' }
  /** It should grant something and cannot; the reason names fields, never their content. */
  | { readonly kind: 'refused'; readonly reason: string };

/** The user's name is the rest of the namespace's, whole: nothing else in the resource is asked for it. */
const SYSTEM_NAMESPACE = 'user-system-';
const MAX_TEXT_LENGTH = 1024;

export function readApplicationPermission({ namespace, body }: KubeObject): PermissionReading {
  const { metadata, spec, status } = body;
  // Deletion was asked for, and only a finalizer still holds the resource: what it granted is withdrawn.
  if (field(metadata, 'deletionTimestamp') !== undefined) return { kind: 'inactive' };
  if (field(status, 'state') !== 'active') return { kind: 'inactive' };
  if (!namespace.startsWith(SYSTEM_NAMESPACE)) return refused('only resources in user-system-<user> count');
  const user = namespace.slice(SYSTEM_NAMESPACE.length);
  const app = field(spec, 'app');
  const appKey = field(spec, 'key');
  const appSecret = field(spec, 'secret');
  if (!APP_NAME.test(user)) return refused(`the user ${APP_NAME_RULE}`);
  if (typeof app !== 'string' || !APP_NAME.test(app)) return refused(`spec.app ${APP_NAME_RULE}`);
  if (!isText(appKey)) return refused('spec.key must be text');
  if (!isText(appSecret)) return refused('spec.secret must be text');
  const { grants, warnings } = parseSysData(field(spec, 'permissions'), app);
  const keys = new Set(grants.map(({ operation, workspace }) => grantKey(operation, workspace)));
  const installedAtMs = Date.parse(String(field(metadata, 'creationTimestamp'))) || 0;
  return {
    kind: 'installed',
    installed: { app, user, appKey, appSecret, grants: keys },
    installedAtMs,
    warnings,
  };
}

function refused(reason: string): PermissionReading {
  return { kind: 'refused', reason };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.length <= MAX_TEXT_LENGTH;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}
