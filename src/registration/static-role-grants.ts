import type { InstalledApp } from '../authz/grant';
import type { AppListener } from '../authz/grant-index';
import type { GrantSourceStatus } from '../authz/grant-source';
import { type StaticGrant, StaticGrants } from '../authz/static-grants';
import type { KubeObject } from '../kubernetes/kube-object';
import { Informer, type InformerDeps } from '../kubernetes/informer';
import type { RoleGrants } from './access-registrar';

const OWNER = 'bytetrade.io/ns-owner';

/**
 * Adds to the apps those of the system's own callers, of each user, that can pass the RBAC proxy: it refuses a call with the
 * user's token, so those that must send one get no role. A caller is there as long as its namespace is that user's.
 */
export class StaticRoleGrants implements RoleGrants {
  private readonly statics: StaticGrants;
  private readonly owners = new Map<string, string>();
  private readonly listeners = new Set<AppListener>();
  private readonly namespaces: Informer<string>;

  constructor(
    private readonly apps: RoleGrants,
    grants: readonly StaticGrant[],
    deps: InformerDeps,
  ) {
    const passing = (one: StaticGrant) => !one.userTokenRequired || one.ownTokenSuffices === true;
    this.statics = new StaticGrants(grants.filter((one) => one.userFrom === 'namespace' && passing(one)));
    this.namespaces = new Informer<string>(
      {
        path: '/api/v1/namespaces',
        read: ownerIn,
        onPut: (namespace, owner) => this.put(namespace, owner),
        onRemoved: (namespace) => this.put(namespace, ''),
      },
      deps,
    );
    this.namespaces.start();
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
    this.listeners.add(listener);
    const unsubscribe = this.apps.onChange(listener);
    return () => {
      this.listeners.delete(listener);
      unsubscribe();
    };
  }

  status(): GrantSourceStatus {
    const status = this.apps.status();
    return { ...status, ready: status.ready && this.namespaces.listed };
  }

  close(): Promise<void> {
    return this.namespaces.stop();
  }

  private put(namespace: string, owner: string): void {
    const before = this.owners.get(namespace) ?? '';
    if (before === owner) return;
    if (owner === '') this.owners.delete(namespace);
    else this.owners.set(namespace, owner);
    for (const user of [before, owner])
      for (const { app } of this.callersIn(namespace, user))
        for (const listener of this.listeners) listener(user, app);
  }

  private callersIn(namespace: string, user: string): readonly InstalledApp[] {
    if (user === '') return [];
    return this.statics.of(user).filter((caller) => caller.namespace === namespace);
  }
}

/** Returns '' for a namespace that is nobody's, or is being deleted. */
function ownerIn({ body }: KubeObject): string {
  const { labels, deletionTimestamp } = body['metadata'] as {
    readonly labels?: Readonly<Record<string, unknown>> | null;
    readonly deletionTimestamp?: unknown;
  };
  const owner = labels?.[OWNER];
  return typeof owner === 'string' && deletionTimestamp === undefined ? owner : '';
}
