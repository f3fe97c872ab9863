import { PROVIDER } from '../authz/grant';
import type { StaticGrant } from '../authz/static-grants';
import type { KubeObject } from '../kubernetes/kube-object';
import { Informer, type InformerDeps } from '../kubernetes/informer';
import { AccessRegistrar, type RoleGrants } from './access-registrar';
import type { AccessRoleOptions } from './access-roles';
import { type ProviderEndpoint, providerRegistry, type Registration, sysEventRegistries } from './manifests';
import { Reconciler } from './reconciler';
import { StaticRoleGrants } from './static-role-grants';

export interface RegistrationOptions extends AccessRoleOptions {
  /** How system-server learns of us: by ProviderRegistry up to Olares 1.12.0, by ClusterRoles from 1.12.1 on, or both. */
  readonly kind: 'provider-registry' | 'rbac' | 'both';
}

/** Makes what registers this service in the cluster; it begins with its start(). */
export function openRegistration(
  options: RegistrationOptions,
  grants: RoleGrants,
  staticGrants: readonly StaticGrant[],
  deps: InformerDeps,
): Registration {
  const { kind, endpoint } = options;
  const registrar = new Registrar({ endpoint, asProvider: kind !== 'rbac' }, deps);
  if (kind === 'provider-registry') return registrar;
  if (staticGrants.length === 0)
    return new Registrations([registrar, new AccessRegistrar(options, grants, deps)]);
  const withCallers = new StaticRoleGrants(grants, staticGrants, deps);
  const roles = new AccessRegistrar(options, withCallers, deps);
  return new Registrations([registrar, roles], () => withCallers.close());
}

/** Several registrations as one. */
class Registrations implements Registration {
  constructor(
    private readonly all: readonly Registration[],
    private readonly closeSource: () => Promise<void> = () => Promise.resolve(),
  ) {}

  start(): void {
    for (const one of this.all) one.start();
  }

  problems(): readonly string[] {
    return this.all.flatMap((one) => one.problems());
  }

  failing(): ReadonlyMap<string, number> {
    return new Map(this.all.flatMap((one) => [...one.failing()]));
  }

  async close(): Promise<void> {
    await Promise.all([...this.all.map((one) => one.close()), this.closeSource()]);
  }
}

const USER_SYSTEM = /^user-system-(.+)$/;

export interface RegistrarOptions {
  readonly endpoint: ProviderEndpoint;
  /** False where system-server goes by ClusterRoles: then it only subscribes to the system's events. */
  readonly asProvider: boolean;
}

/** Registers this service as the provider of every present and future user, and for the system's events. */
export class Registrar implements Registration {
  private readonly reconcilers: readonly Reconciler[];
  private readonly namespaces: Informer<boolean> | undefined;

  constructor({ endpoint, asProvider }: RegistrarOptions, deps: InformerDeps) {
    const events = eventReconciler(endpoint, deps);
    if (!asProvider) {
      this.reconcilers = [events];
      return;
    }
    const providerOf = (namespace: string) => providerRegistry(endpoint, namespace);
    const { name: providerName } = providerOf('').metadata;
    const manifestOf = (namespace: string, name: string) =>
      name === providerName ? providerOf(namespace) : undefined;
    const providers = new Reconciler(
      {
        root: '/apis/sys.bytetrade.io/v1alpha1',
        plural: 'providerregistries',
        shapeOf: manifestOf,
        manifestOf,
        isConflict,
      },
      deps,
    );
    this.reconcilers = [providers, events];
    this.namespaces = new Informer(
      {
        path: '/api/v1/namespaces',
        read: isUsers,
        onPut: (namespace, users) => {
          if (users) providers.want(providerOf(namespace));
          else providers.unwant(namespace, providerName);
        },
        onRemoved: (namespace) => providers.unwant(namespace, providerName),
      },
      deps,
    );
  }

  start(): void {
    for (const reconciler of this.reconcilers) reconciler.start();
    this.namespaces?.start();
  }

  problems(): readonly string[] {
    return this.reconcilers.flatMap((reconciler) => reconciler.problems());
  }

  failing(): ReadonlyMap<string, number> {
    return new Map(this.reconcilers.map(({ plural, failing }) => [plural, failing]));
  }

  async close(): Promise<void> {
    await Promise.all([this.namespaces?.stop(), ...this.reconcilers.map((reconciler) => reconciler.close())]);
  }
}

function eventReconciler(endpoint: ProviderEndpoint, deps: InformerDeps): Reconciler {
  const events = new Map(sysEventRegistries(endpoint).map((manifest) => [manifest.metadata.name, manifest]));
  const manifestOf = (_namespace: string, name: string) => events.get(name);
  const reconciler = new Reconciler(
    {
      root: '/apis/apr.bytetrade.io/v1alpha1',
      plural: 'syseventregistries',
      namespace: endpoint.namespace,
      shapeOf: manifestOf,
      manifestOf,
    },
    deps,
  );
  for (const manifest of events.values()) reconciler.want(manifest);
  return reconciler;
}

/** Returns true for the system namespace of a user that is not being deleted. */
function isUsers({ name, body }: KubeObject): boolean {
  const { deletionTimestamp } = body['metadata'] as { readonly deletionTimestamp?: unknown };
  return USER_SYSTEM.test(name) && deletionTimestamp === undefined;
}

/** Returns true for another provider of our data: system-server would use either of the two. */
function isConflict({ namespace, body }: KubeObject): boolean {
  const spec = (body['spec'] ?? {}) as Readonly<Record<string, unknown>>;
  return (
    USER_SYSTEM.test(namespace) &&
    spec['kind'] === 'provider' &&
    Object.entries(PROVIDER).every(([field, value]) => spec[field] === value)
  );
}
