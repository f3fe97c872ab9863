import type { AppToInstall } from '../conformance/grant-source.conformance';

/** Returns the ApplicationPermission of an installed app, as Olares writes it. */
export function permissionOf({ app, user, appKey, appSecret, ops }: AppToInstall, name: string) {
  return {
    apiVersion: 'sys.bytetrade.io/v1alpha1',
    kind: 'ApplicationPermission',
    metadata: { name, namespace: `user-system-${user}` },
    spec: {
      app,
      appid: 'a1b2c3d4',
      key: appKey,
      secret: appSecret,
      permissions: [{ dataType: 'secret', group: 'secret.infisical', version: 'v1', ops }],
    },
    status: { state: 'active' },
  };
}
