import type { KubeObject } from './fake-objects';
import { RESOURCES, type ResourceName, type Route } from './fake-resources';

interface PolicyRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** The objects of one resource, as the fake has them. */
type ListOf = (resource: ResourceName) => readonly KubeObject[];

interface Refused {
  readonly status: 403 | 404;
  readonly reason: 'Forbidden' | 'NotFound';
}

const FORBIDDEN: Refused = { status: 403, reason: 'Forbidden' };

/** `system:serviceaccount:<namespace>:<name>`, as a TokenReview names it. */
export function isSubject({ kind, name, namespace }: Subject, username: string): boolean {
  return kind === 'ServiceAccount'
    ? username === `system:serviceaccount:${namespace}:${name}`
    : kind === 'User' && name === username;
}

/** Returns the rules of all ClusterRoles that are bound in the whole cluster, and of those that are bound in the namespace. */
function rulesOf(username: string, list: ListOf, namespace?: string): readonly PolicyRule[] {
  const bound = [
    ...list('clusterrolebindings'),
    ...list('rolebindings').filter(({ metadata }) => metadata.namespace === namespace),
  ].filter(({ subjects }) =>
    ((subjects ?? []) as readonly Subject[]).some((one) => isSubject(one, username)),
  );
  return bound.flatMap(({ roleRef, metadata }) => {
    const { kind, name } = roleRef as { readonly kind: string; readonly name: string };
    const role =
      kind === 'ClusterRole'
        ? list('clusterroles').find((one) => one.metadata.name === name)
        : list('roles').find(
            (one) => one.metadata.name === name && one.metadata.namespace === metadata.namespace,
          );
    return ruleListOf(role);
  });
}

function ruleListOf(role: KubeObject | undefined): readonly PolicyRule[] {
  return (role?.['rules'] ?? []) as readonly PolicyRule[];
}

const has = (values: readonly string[] | undefined, value: string): boolean =>
  values?.includes('*') === true || values?.includes(value) === true;

/** Returns undefined where the user may do it, to this object of this route. */
export function refusedByRbac(
  username: string,
  verb: string,
  { resource, namespace, name }: Route,
  object: KubeObject | undefined,
  list: ListOf,
): Refused | undefined {
  const group = groupOf(RESOURCES[resource].apiVersion);
  const held = rulesOf(username, list, namespace);
  const may = (wanted: string, at = name): boolean =>
    held.some(
      (rule) =>
        has(rule.apiGroups, group) &&
        has(rule.resources, resource) &&
        has(rule.verbs, wanted) &&
        (rule.resourceNames === undefined || (at !== undefined && rule.resourceNames.includes(at))),
    );
  if (!may(verb)) return FORBIDDEN;
  if (object === undefined || (verb !== 'create' && verb !== 'patch')) return undefined;
  if (resource === 'clusterroles' && !may('escalate') && !covers(held, ruleListOf(object))) return FORBIDDEN;
  if (resource !== 'clusterrolebindings') return undefined;
  const { name: roleName } = object['roleRef'] as { readonly name: string };
  if (may('bind', roleName)) return undefined;
  const role = list('clusterroles').find(({ metadata }) => metadata.name === roleName);
  if (role === undefined) return { status: 404, reason: 'NotFound' };
  return covers(held, ruleListOf(role)) ? undefined : FORBIDDEN;
}

/** Privilege escalation prevention: whoever makes or binds a role must hold all that it grants. */
function covers(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): boolean {
  return wanted.every(
    ({ apiGroups = [], resources = [], nonResourceURLs = [], verbs }) =>
      verbs.every((verb) =>
        nonResourceURLs.every((url) =>
          held.some((rule) => has(rule.verbs, verb) && rule.nonResourceURLs?.some(isPatternOf(url)) === true),
        ),
      ) &&
      verbs.every((verb) =>
        apiGroups.every((group) =>
          resources.every((resource) =>
            held.some(
              (rule) =>
                has(rule.verbs, verb) &&
                has(rule.apiGroups, group) &&
                has(rule.resources, resource) &&
                rule.resourceNames === undefined,
            ),
          ),
        ),
      ),
  );
}

/** A URL covers itself, and with a `*` at its end whatever begins as it does. */
export const isPatternOf =
  (url: string) =>
  (pattern: string): boolean =>
    pattern === url || (pattern.endsWith('*') && url.startsWith(pattern.replace(/\*+$/, '')));

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}
