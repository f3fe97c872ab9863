/** As Olares defines them, as far as we use them: a status without a subresource, and no schema beyond objects. */
export const OLARES_CRDS = [
  crd('sys.bytetrade.io', 'applicationpermissions', 'ApplicationPermission'),
  crd('sys.bytetrade.io', 'providerregistries', 'ProviderRegistry'),
  crd('apr.bytetrade.io', 'syseventregistries', 'SysEventRegistry'),
];

function crd(group: string, plural: string, kind: string) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };
}
