export interface FakeResource {
  readonly apiVersion: string;
  readonly kind: string;
}

/** The resources that the fake serves, by plural name. */
export const RESOURCES = {
  applicationpermissions: { apiVersion: 'sys.bytetrade.io/v1alpha1', kind: 'ApplicationPermission' },
  providerregistries: { apiVersion: 'sys.bytetrade.io/v1alpha1', kind: 'ProviderRegistry' },
  syseventregistries: { apiVersion: 'apr.bytetrade.io/v1alpha1', kind: 'SysEventRegistry' },
  customresourcedefinitions: { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' },
  serviceaccounts: { apiVersion: 'v1', kind: 'ServiceAccount' },
  namespaces: { apiVersion: 'v1', kind: 'Namespace' },
  configmaps: { apiVersion: 'v1', kind: 'ConfigMap' },
  pods: { apiVersion: 'v1', kind: 'Pod' },
  clusterroles: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole' },
  clusterrolebindings: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding' },
  roles: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' },
  rolebindings: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding' },
  applicationmanagers: { apiVersion: 'app.bytetrade.io/v1alpha1', kind: 'ApplicationManager' },
  endpointslices: { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' },
} as const satisfies Record<string, FakeResource>;

export type ResourceName = keyof typeof RESOURCES;

export interface Route {
  readonly resource: ResourceName;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

/** `/apis/<group>/<version>[/namespaces/<namespace>]/<plural>[/<name>]`, and `/api/v1/namespaces[/<name>]`. */
export function routeOf(path: string): Route | undefined {
  for (const [plural, { apiVersion }] of Object.entries(RESOURCES) as [ResourceName, FakeResource][]) {
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const pattern = new RegExp(`^${root}(?:/namespaces/([^/]+))?/${plural}(?:/([^/]+))?$`);
    const [match, namespace, name] = pattern.exec(path) ?? [];
    if (match !== undefined) return { resource: plural, namespace, name };
  }
  return undefined;
}
