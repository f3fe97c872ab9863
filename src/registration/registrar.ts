import { type InstalledApp, PROVIDER } from '../authz/grant';
import type { AppListener } from '../authz/grant-index';
import type { GrantSourceStatus } from '../authz/grant-source';
import { type StaticGrant, StaticGrants } from '../authz/static-grants';
import { fieldsOf } from '../json/json';
import type { InformerDeps } from '../kubernetes/informer';
import type { KubeObject } from '../kubernetes/kube-object';
import type { WatchedNamespaceOwners } from '../kubernetes/watched-objects';
import { AccessRegistrar, type RoleGrants } from './access-registrar';
import type { AccessRoleOptions } from './access-roles';
import {
  PROVIDER_REGISTRY,
  type ProviderEndpoint,
  providerRegistry,
  type Registration,
  sysEventRegistries,
} from './registered-objects';
import { Reconciler } from './reconciler';

export interface RegistrationOptions extends AccessRoleOptions {
  /** How system-server learns of us: by ProviderRegistry up to Olares 1.12.0, by ClusterRoles from 1.12.1 on, or both. */
  readonly kind: 'provider-registry' | 'rbac' | 'both';
}

/** Makes what registers this service in the cluster; it begins with its start(). */
export function openRegistration(
  options: RegistrationOptions,
  grants: RoleGrants,
  staticGrants: readonly StaticGrant[],
  namespaces: WatchedNamespaceOwners,
  deps: InformerDeps,
): Registration {
  const { kind, endpoint } = options;
  const registrar = new Registrar(endpoint, kind === 'rbac' ? undefined : namespaces, deps);
  if (kind === 'provider-registry') return registrar;
  const all = staticGrants.length === 0 ? grants : new StaticRoleGrants(grants, staticGrants, namespaces);
  return new Registrations([registrar, new AccessRegistrar(options, all, deps)]);
}

/** Several registrations as one. */
class Registrations implements Registration {
  constructor(private readonly all: readonly Registration[]) {}

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
    await Promise.all(this.all.map((one) => one.close()));
  }
}

const USER_SYSTEM = /^user-system-(.+)$/;

/** Registers this service as the provider of every present and future user, and for the system's events. */
export class Registrar implements Registration {
  private readonly providers: Reconciler | undefined;
  private readonly events: Reconciler;
  private unlisten: (() => void) | undefined;

  /** @param namespaces undefined where system-server goes by ClusterRoles: then it only subscribes to the system's events */
  constructor(
    private readonly endpoint: ProviderEndpoint,
    private readonly namespaces: WatchedNamespaceOwners | undefined,
    deps: InformerDeps,
  ) {
    this.providers = namespaces && providerReconciler(endpoint, deps);
    this.events = eventReconciler(endpoint, deps);
  }

  start(): void {
    for (const reconciler of this.reconcilers) reconciler.start();
    this.unlisten = this.namespaces?.listen({ changed: (namespace) => this.changed(namespace) });
  }

  problems(): readonly string[] {
    return this.reconcilers.flatMap((reconciler) => reconciler.problems());
  }

  failing(): ReadonlyMap<string, number> {
    return new Map(this.reconcilers.map(({ plural, failing }) => [plural, failing]));
  }

  async close(): Promise<void> {
    this.unlisten?.();
    await Promise.all(this.reconcilers.map((reconciler) => reconciler.close()));
  }

  private get reconcilers(): readonly Reconciler[] {
    return this.providers === undefined ? [this.events] : [this.providers, this.events];
  }

  /** A user is there as long as their system namespace is, and is not being deleted. */
  private changed(namespace: string): void {
    const isHere = this.namespaces?.informer.get(namespace)?.isBeingDeleted === false;
    if (isHere && USER_SYSTEM.test(namespace))
      this.providers?.want(providerRegistry(this.endpoint, namespace));
    else this.providers?.unwant(namespace, PROVIDER_REGISTRY);
  }
}

function providerReconciler(endpoint: ProviderEndpoint, deps: InformerDeps): Reconciler {
  const manifestOf = (namespace: string, name: string) =>
    name === PROVIDER_REGISTRY ? providerRegistry(endpoint, namespace) : undefined;
  const plural = 'providerregistries';
  const root = '/apis/sys.bytetrade.io/v1alpha1';
  return new Reconciler({ root, plural, shapeOf: manifestOf, manifestOf, isConflict }, deps);
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

/** Returns true for another provider of our data: system-server would use either of the two. */
function isConflict({ namespace, body }: KubeObject): boolean {
  const spec = fieldsOf(body['spec']);
  return (
    USER_SYSTEM.test(namespace) &&
    spec['kind'] === 'provider' &&
    Object.entries(PROVIDER).every(([field, value]) => spec[field] === value)
  );
}

/**
 * Adds to the apps those of the system's own callers, of each user, that can pass the RBAC proxy: it refuses a call with the
 * user's token, so those that must send one get no role. A caller is there as long as its namespace is that user's: the
 * namespaces are followed for its one listener, from onChange() until that is ended.
 */
export class StaticRoleGrants implements RoleGrants {
  private readonly statics: StaticGrants;
  private readonly owners = new Map<string, string>();

  constructor(
    private readonly apps: RoleGrants,
    grants: readonly StaticGrant[],
    private readonly namespaces: WatchedNamespaceOwners,
  ) {
    const passing = (one: StaticGrant) => !one.userTokenRequired || one.ownTokenSuffices === true;
    this.statics = new StaticGrants(grants.filter((one) => one.userFrom === 'namespace' && passing(one)));
  }

  find(user: string, app: string): InstalledApp | undefined {
    const caller = this.statics.find(user, app);
    if (caller === undefined) return this.apps.find(user, app);
    return this.owners.get(caller.namespace ?? '') === user ? caller : undefined;
  }

  *installedApps(): Iterable<InstalledApp> {
    yield* this.apps.installedApps();
    for (const [namespace, owner] of this.owners) yield* this.callersIn(namespace, owner);
  }

  onChange(listener: AppListener): () => void {
    const unsubscribe = this.apps.onChange(listener);
    const unlisten = this.namespaces.listen({ changed: (namespace) => this.changed(namespace, listener) });
    return () => {
      unlisten();
      unsubscribe();
    };
  }

  status(): GrantSourceStatus {
    const status = this.apps.status();
    return { ...status, ready: status.ready && this.namespaces.informer.listed };
  }

  /** A namespace that is being deleted is nobody's. */
  private changed(namespace: string, listener: AppListener): void {
    const { owner: labelled = '', isBeingDeleted = false } = this.namespaces.informer.get(namespace) ?? {};
    const owner = isBeingDeleted ? '' : labelled;
    const before = this.owners.get(namespace) ?? '';
    if (before === owner) return;
    if (owner === '') this.owners.delete(namespace);
    else this.owners.set(namespace, owner);
    for (const user of [before, owner])
      for (const { app } of this.callersIn(namespace, user)) listener(user, app);
  }

  private callersIn(namespace: string, user: string): readonly InstalledApp[] {
    if (user === '') return [];
    return this.statics.of(user).filter((caller) => caller.namespace === namespace);
  }
}
