import { PROVIDER } from '../authz/grant';
import type { KubeObject } from '../kubernetes/kube-object';
import { Informer } from '../kubernetes/informer';
import type { InformerDeps } from '../kubernetes/informer-options';
import { Reconciler } from './reconciler';
import { type ProviderEndpoint, providerRegistry, type Registration, sysEventRegistries } from './manifests';

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
