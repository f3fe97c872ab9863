import { ownField } from '../../json/json';
import type { KubeObject } from '../../kubernetes/kube-object';
import { APP_NAME, APP_NAME_RULE, grantSet } from '../../authz/grant';
import { parseSysData, type SysDataRefusal, type SysDataWarning } from '../../authz/sys-data';
import { type GrantReading, resourceFeed, type StatedClaim } from './grant-feed';

export const APPLICATION_PERMISSIONS = '/apis/sys.bytetrade.io/v1alpha1/applicationpermissions';

/** Reads grants from ApplicationPermissions alone, and so without telling which of them are leftovers. */
export const applicationPermissions = resourceFeed({
  kind: 'ApplicationPermission',
  path: APPLICATION_PERMISSIONS,
  sourcePrefix: '',
  read: readApplicationPermission,
});

/** The rest of the namespace's name is the user's name; no other field of the resource is read for it. */
const SYSTEM_NAMESPACE = 'user-system-';
/** States of an app that is not installed, or not yet. */
const OUTSIDE: readonly unknown[] = ['draft', 'submitted', 'passed', 'rejected'];
const MAX_TEXT_LENGTH = 1024;

export function readApplicationPermission({ namespace, body }: KubeObject): GrantReading {
  const { metadata, spec, status } = body;
  const state = ownField(status, 'state');
  if (OUTSIDE.includes(state)) return { kind: 'outside' };
  const user = namespace.startsWith(SYSTEM_NAMESPACE) ? namespace.slice(SYSTEM_NAMESPACE.length) : '';
  const app = ownField(spec, 'app');
  const appKey = ownField(spec, 'key');
  const appSecret = ownField(spec, 'secret');
  const isNamed = APP_NAME.test(user) && typeof app === 'string' && APP_NAME.test(app);
  const stated = isNamed ? statedBy(app, user, body) : undefined;
  const readable = stated === undefined || 'refused' in stated ? undefined : stated;
  const claim = Array.isArray(ownField(spec, 'permissions')) ? readable : undefined;
  const refused = (reason: string): GrantReading => ({ kind: 'refused', reason, claim });
  // A resource that only a finalizer still holds grants nothing any more.
  const isBeingDeleted = ownField(metadata, 'deletionTimestamp') !== undefined;
  if (isBeingDeleted || state !== 'active') return { kind: 'inactive', claim };
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
  { metadata, spec }: KubeObject['body'],
): (StatedClaim & { readonly warnings: readonly SysDataWarning[] }) | SysDataRefusal {
  const read = parseSysData(ownField(spec, 'permissions'), app);
  if ('refused' in read) return read;
  const installedAtMs = Date.parse(String(ownField(metadata, 'creationTimestamp'))) || 0;
  return { installed: { app, user, grants: grantSet(read.grants) }, installedAtMs, warnings: read.warnings };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.length <= MAX_TEXT_LENGTH;
}
