import { PROVIDER } from '../authz/grant';
import type { KubeObject } from '../kubernetes/kube-object';
import { Informer } from '../kubernetes/informer';
import type { InformerDeps } from '../kubernetes/informer-options';
import { Reconciler } from './reconciler';
import { type ProviderEndpoint, providerRegistry, sysEventRegistries } from './manifests';

const USER_SYSTEM = /^user-system-(.+)$/;

/** What of us is registered where, as far as others look at it. */
export interface Registration {
  /** Only once there is somebody to be called: what is registered is called. */
  start(): void;
  /** What an operator should mend, one sentence each. */
  problems(): readonly string[];
  /** By plural, how many objects cannot be made or kept. */
  failing(): ReadonlyMap<string, number>;
  /** Resolves when nothing is registered any more; what is, stays. */
  close(): Promise<void>;
}

/** Registers this service: as the provider of every user that there is or will be, and for the system's events. */
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
    for (const kept of [this.providers, this.events]) kept.start();
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

/** A user's system namespace that is here to stay. */
function isUsers({ name, body }: KubeObject): boolean {
  const { deletionTimestamp } = body['metadata'] as { readonly deletionTimestamp?: unknown };
  return USER_SYSTEM.test(name) && deletionTimestamp === undefined;
}

/** system-server takes one of the providers of a tuple, and nobody can say which. */
function isConflict({ namespace, body }: KubeObject): boolean {
  const spec = (body['spec'] ?? {}) as Readonly<Record<string, unknown>>;
  return (
    USER_SYSTEM.test(namespace) &&
    spec['kind'] === 'provider' &&
    Object.entries(PROVIDER).every(([field, value]) => spec[field] === value)
  );
}
