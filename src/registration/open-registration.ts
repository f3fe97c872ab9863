import type { StaticGrant } from '../authz/static-grants';
import type { InformerDeps } from '../kubernetes/informer-options';
import { AccessRegistrar, type RoleGrants } from './access-registrar';
import type { AccessRoleOptions } from './access-roles';
import type { Registration } from './manifests';
import { Registrar } from './registrar';
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
