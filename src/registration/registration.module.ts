import { Inject, Module, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { GrantSource } from '../authz/grant-source';
import { factory, Runtime } from '../bootstrap/runtime.module';
import { Cluster } from '../grant-sources/grant-sources.module';
import { ServiceProblems } from '../http/controllers/health.controller';
import { Registration } from './registered-objects';

const NO_EVENT_SENDER =
  "Nobody may tell of deleted users, whose secrets stay: SYSTEM_EVENT_SERVICE_ACCOUNTS is unset (Olares' sender is os-framework:tapr-sysevent).";

/** Makes the registration, which main.ts starts once the service listens; undefined where nothing is registered. */
async function createRegistration(
  { settings: { grants } }: Runtime,
  { informerDeps, namespaces }: Cluster,
  grantSource: GrantSource,
  problems: ServiceProblems,
): Promise<Registration | undefined> {
  if (grants.kind === 'directory' || grants.registration === undefined) return undefined;
  if (informerDeps === undefined || namespaces === undefined) return undefined;
  // Each event would get 401.
  if (grants.systemEventServiceAccounts.length === 0) problems.add(() => [NO_EVENT_SENDER]);
  const { openRegistration } = await import('./registrar.js');
  const { registration: options, staticGrants } = grants;
  const registration = openRegistration(options, grantSource, staticGrants, namespaces, informerDeps);
  problems.add(() => registration.problems());
  return registration;
}

@Module({
  providers: [factory(Registration, [Runtime, Cluster, GrantSource, ServiceProblems], createRegistration)],
})
export class RegistrationModule implements OnModuleDestroy, OnApplicationShutdown {
  #closed: Promise<void> | undefined;

  constructor(@Inject(Registration) private readonly registration: Registration | undefined) {}

  /** Ends before requests are drained, so that no replica registers again during an uninstall; nobody waits for it yet. */
  onModuleDestroy(): void {
    this.#closed = this.registration?.close();
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([this.#closed]);
  }
}
