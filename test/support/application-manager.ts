export interface AppToManage {
  readonly app: string;
  readonly user: string;
  readonly state?: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  /** The entries of `permission.provider`; by default one that names us. */
  readonly providers?: readonly object[];
  /** In place of the whole config. */
  readonly config?: unknown;
}

/** How apps name us in tests. */
export const US = { appName: 'secretprovider', providerName: 'secret-api' };

/** Returns the ApplicationManager of an app, as Olares 1.12 writes it: its config is JSON with the names of Go. */
export function managerOf({ app, user, state = 'running', ...given }: AppToManage) {
  const { namespace = `${app}-${user}`, serviceAccount, providers = [US] } = given;
  const config = JSON.stringify({
    CfgFileVersion: '0.10.0',
    AppID: 'a1b2c3d4',
    AppName: app,
    Permission: ['APPCACHE', 'USERDATA', providers],
    ...(serviceAccount !== undefined && { ServiceAccountName: serviceAccount }),
  });
  return {
    apiVersion: 'app.bytetrade.io/v1alpha1',
    kind: 'ApplicationManager',
    metadata: { name: `${namespace}-${app}` },
    spec: {
      appName: app,
      rawAppName: app,
      appNamespace: namespace,
      appOwner: user,
      type: 'app',
      config: 'config' in given ? given.config : config,
    },
    status: { state },
  };
}
