import { PROVIDER, SECRET_OPERATIONS } from '../authz/grant';

/** The address of this service inside the cluster: `<service>.<namespace>:<port>`. */
export interface ProviderEndpoint {
  readonly service: string;
  readonly namespace: string;
  readonly port: number;
}

/** An object as this service wants it; other fields of it are left alone. */
export interface RegistrationObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    /** Absent for a kind of the whole cluster. */
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** Something that registers this service in the cluster and keeps it so. */
export abstract class Registration {
  /** Starts to register; to be called once the service listens, since whatever is registered is called. */
  abstract start(): void;
  /** Returns what an operator should fix, one sentence each. */
  abstract problems(): readonly string[];
  /** Returns, by plural, how many objects cannot be created, patched or removed. */
  abstract failing(): ReadonlyMap<string, number>;
  /** Resolves when nothing is written any more; registered objects stay. */
  abstract close(): Promise<void>;
}

/** The label of our objects, by which the reconciler and the uninstall find them. */
export const OURS = { 'app.kubernetes.io/managed-by': 'olares-secret-provider' } as const;

/** OURS as a label selector. */
export const OURS_SELECTOR = Object.entries(OURS)
  .map(([label, value]) => `${label}=${value}`)
  .join(',');

const EVENTS = { 'user.create': '/user/create', 'user.delete': '/user/delete' } as const;

/** Returns the object that makes us the provider of one user, for their system-server (contract, section 5). */
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

/** Returns the objects that subscribe us to the events of created and deleted users (contract, section 7). */
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

export function addressOf({ service, namespace, port }: ProviderEndpoint): string {
  return `${service}.${namespace}:${port}`;
}
