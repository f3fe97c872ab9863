import { PROVIDER } from '../authz/grant';
import type { KubeObject } from '../kubernetes/kube-object';
import { Informer } from '../kubernetes/informer';
import type { InformerDeps } from '../kubernetes/informer-options';
import { Reconciler } from './reconciler';
import { type ProviderEndpoint, providerRegistry, sysEventRegistries } from './manifests';

const USER_SYSTEM = /^user-system-(.+)$/;

export interface Registration {
  /** Starts to register; to be called once the service listens, since whatever is registered is called. */
  start(): void;
  /** Returns what an operator should fix, one sentence each. */
  problems(): readonly string[];
  /** Returns, by plural, how many objects cannot be created or patched. */
  failing(): ReadonlyMap<string, number>;
  /** Resolves when nothing is written any more; registered objects stay. */
  close(): Promise<void>;
}

/** Registers this service as the provider of every present and future user, and for the system's events. */
export class Registrar implements Registration {
  private readonly providers: Reconciler;
  private readonly events: Reconciler;
  private readonly namespaces: Informer<boolean>;

  constructor(endpoint: ProviderEndpoint, deps: InformerDeps) {
    const providerOf = (namespace: string) => providerRegistry(endpoint, namespace);
    const { name: providerName } = providerOf('').metadata;
    this.providers = new Reconciler(
      {
        root: '/apis/sys.bytetrade.io/v1alpha1',
        plural: 'providerregistries',
        manifestOf: (namespace, name) => (name === providerName ? providerOf(namespace) : undefined),
        isConflict,
      },
      deps,
    );
    const events = new Map(
      sysEventRegistries(endpoint).map((manifest) => [manifest.metadata.name, manifest]),
    );
    this.events = new Reconciler(
      {
        root: '/apis/apr.bytetrade.io/v1alpha1',
        plural: 'syseventregistries',
        namespace: endpoint.namespace,
        manifestOf: (_namespace, name) => events.get(name),
      },
      deps,
    );
    for (const manifest of events.values()) this.events.want(manifest);
    this.namespaces = new Informer(
      {
        path: '/api/v1/namespaces',
        read: isUsers,
        onPut: (namespace, users) => {
          if (users) this.providers.want(providerOf(namespace));
          else this.providers.unwant(namespace, providerName);
        },
        onRemoved: (namespace) => this.providers.unwant(namespace, providerName),
      },
      deps,
    );
  }

  start(): void {
    this.providers.start();
    this.events.start();
    this.namespaces.start();
  }

  problems(): readonly string[] {
    return [...this.providers.problems(), ...this.events.problems()];
  }

  failing(): ReadonlyMap<string, number> {
    return new Map([this.providers, this.events].map(({ plural, failing }) => [plural, failing]));
  }

  async close(): Promise<void> {
    await Promise.all([this.namespaces.stop(), this.providers.close(), this.events.close()]);
  }
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
