import { PROVIDER, SECRET_OPERATIONS } from '../authz/grant';

/** Where callers reach this service inside the cluster: `<service>.<namespace>:<port>`. */
export interface ProviderEndpoint {
  readonly service: string;
  readonly namespace: string;
  readonly port: number;
}

/** An object as this service wants it; fields that others add beside these are left alone. */
export interface RegistrationObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** What tells our objects from others of their kind; by it the uninstall finds them. */
export const OURS = { 'app.kubernetes.io/managed-by': 'olares-secret-provider' } as const;

const EVENTS = { 'user.create': '/user/create', 'user.delete': '/user/delete' } as const;

/** Makes us the provider of one user, for their system-server (contract, section 5). */
export function providerRegistry(endpoint: ProviderEndpoint, namespace: string): RegistrationObject {
  return {
    apiVersion: 'sys.bytetrade.io/v1alpha1',
    kind: 'ProviderRegistry',
    metadata: { name: 'secret-provider', namespace, labels: OURS },
    spec: {
      kind: 'provider',
      ...PROVIDER,
      deployment: endpoint.service,
      namespace: endpoint.namespace,
      endpoint: addressOf(endpoint),
      opApis: SECRET_OPERATIONS.map((name) => ({ name, uri: `/${name}` })),
    },
    status: { state: 'active' },
  };
}

/** Has the system tell us of users who come and go (contract, section 7), by name of the object. */
export function sysEventRegistries(endpoint: ProviderEndpoint): readonly RegistrationObject[] {
  return Object.entries(EVENTS).map(([event, path]) => ({
    apiVersion: 'apr.bytetrade.io/v1alpha1',
    kind: 'SysEventRegistry',
    metadata: {
      name: `secret-provider-${event.replace('.', '-')}`,
      namespace: endpoint.namespace,
      labels: OURS,
    },
    spec: { type: 'subscriber', event, callback: `http://${addressOf(endpoint)}${path}` },
  }));
}

function addressOf({ service, namespace, port }: ProviderEndpoint): string {
  return `${service}.${namespace}:${port}`;
}
