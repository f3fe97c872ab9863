import { type InstalledApp, SERVICE_ACCOUNT_NAME } from '../authz/grant';
import { annotationOf, type KubeObject, labelOf } from '../kubernetes/kube-object';
import { addressOf, OURS, type ProviderEndpoint, type RegistrationObject } from './registered-objects';

/** Where the roles of the RBAC proxy live (contract of Olares 1.12, section 3). */
export const RBAC_ROOT = '/apis/rbac.authorization.k8s.io/v1';
const RBAC_GROUP = 'rbac.authorization.k8s.io';

/** Says which installation of this service made a role, where there are several. */
const OWNER = 'secrets.olares.com/owner';
/** One of the system's own callers has `@` where its app name has `:`. */
const ROLE_NAME = /^osp:([A-Za-z0-9._-]+):([A-Za-z0-9._-]+(?:@[A-Za-z0-9.-]+)?)(?::host)?$/;
/** Apps are in namespaces `<app>-<user>`, so that their roles' names are shorter by far. */
const MAX_NAME_LENGTH = 253;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export interface AccessRoleOptions {
  readonly endpoint: ProviderEndpoint;
  /** Under which name apps call us at their user's system-server: `<providerName>.user-system-<user>`. */
  readonly providerName: string;
}

/** Returns the names of an app's roles: for the host name at the user's system-server, and for that of our own Service. */
export function accessRoleNames(user: string, app: string): readonly [string, string] {
  const name = `osp:${user}:${app.replace(':', '@')}`;
  return [name, `${name}:host`];
}

/** Returns undefined for a name that is none of ours. */
export function appOfAccessRole(name: string): { readonly user: string; readonly app: string } | undefined {
  const [, user, app] = ROLE_NAME.exec(name) ?? [];
  return user === undefined || app === undefined ? undefined : { user, app: app.replace('@', ':') };
}

/** The objects by which system-server's RBAC proxy lets an app call us under one host name. */
export interface AccessObjects {
  readonly role: RegistrationObject;
  readonly binding: RegistrationObject;
}

/**
 * Returns what an app is let through by, under each host name; empty where it holds no grant, or where it is not known in which
 * namespace it runs. The proxy looks at one rule of one role, so all URLs of the app are in one. The names of operations and
 * workspaces have no character that clients encode: a URL is compared as it is written here.
 */
export function accessObjects(
  installed: InstalledApp | undefined,
  options: AccessRoleOptions,
): readonly AccessObjects[] {
  if (installed === undefined) return [];
  const { user, app, namespace, serviceAccount = 'default', grants } = installed;
  const urls = [...grants].map((grant) => `/${grant}`).sort();
  if (namespace === undefined || urls.length === 0) return [];
  if (!NAMESPACE.test(namespace) || !SERVICE_ACCOUNT_NAME.test(serviceAccount)) return [];
  const { endpoint, providerName } = options;
  const [name, nameOfHost] = accessRoleNames(user, app);
  if (nameOfHost.length > MAX_NAME_LENGTH) return [];
  const subject = { kind: 'ServiceAccount', name: serviceAccount, namespace };
  return [
    objectsOf(name, `user-system-${user}/${providerName}`, endpoint, urls, subject),
    objectsOf(nameOfHost, `${endpoint.namespace}/${endpoint.service}`, endpoint, urls, subject),
  ];
}

const [SHAPE] = accessObjects(
  { user: 'u', app: 'a', namespace: 'a-u', grants: new Set(['ListSecret?workspace=a']) },
  { endpoint: { service: 's', namespace: 'n', port: 1 }, providerName: 'p' },
);

/** Returns objects with the fields that are kept in those of this name, with other values; undefined for a name that is none of ours. */
export function accessShape(name: string): AccessObjects | undefined {
  return ROLE_NAME.test(name) ? SHAPE : undefined;
}

function objectsOf(
  name: string,
  registryRef: string,
  endpoint: ProviderEndpoint,
  urls: readonly string[],
  subject: { readonly kind: string; readonly name: string; readonly namespace: string },
): AccessObjects {
  const apiVersion = `${RBAC_GROUP}/v1`;
  const owner = { [OWNER]: ownerOf(endpoint) };
  const refs = { 'provider-registry-ref': registryRef, 'provider-service-ref': addressOf(endpoint) };
  return {
    role: {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name, labels: OURS, annotations: { ...owner, ...refs } },
      rules: [{ nonResourceURLs: urls, verbs: ['create'] }],
    },
    binding: {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name, labels: OURS, annotations: owner },
      roleRef: { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name },
      subjects: [subject],
    },
  };
}

/** Returns true for a role or a binding that this installation of the service made: by our label, our annotation and our form of name. */
export function isOwnAccessObject(object: KubeObject, endpoint: ProviderEndpoint): boolean {
  const isLabelled = Object.entries(OURS).every(([label, value]) => labelOf(object, label) === value);
  return isLabelled && ROLE_NAME.test(object.name) && annotationOf(object, OWNER) === ownerOf(endpoint);
}

function ownerOf({ namespace, service }: ProviderEndpoint): string {
  return `${namespace}/${service}`;
}
