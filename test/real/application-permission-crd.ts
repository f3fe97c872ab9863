/** As Olares defines it, as far as we read it: a status without a subresource, and no schema beyond objects. */
export const APPLICATION_PERMISSION_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'applicationpermissions.sys.bytetrade.io' },
  spec: {
    group: 'sys.bytetrade.io',
    scope: 'Namespaced',
    names: {
      plural: 'applicationpermissions',
      singular: 'applicationpermission',
      kind: 'ApplicationPermission',
      listKind: 'ApplicationPermissionList',
      shortNames: ['appperm'],
    },
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
