import { Global, Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import { Audit } from '../audit/audit.module';
import { AuditedSecretStore } from '../audit/audit-trail';
import { factory, Runtime } from '../bootstrap/runtime.module';
import { ServiceProblems } from '../http/controllers/health.controller';
import {
  type ScopeSource,
  SecretStore,
  UserWorkspaces,
  type CompleteSecretStore,
} from '../secrets/secret-store';
import { TracedSecretStore } from '../telemetry/traced';
import { Telemetry } from '../telemetry/telemetry.module';
import { MonotonicTime } from '../time/clock';
import { DeletionJobStorage } from '../user-deprovisioning/deletion-jobs';
import { InvalidationBus } from './cached/invalidation-bus';
import { QuotaSecretStore } from './quota/quota.secret-store';

/** The store without its decorators, and where the deletion jobs are; a backend's module provides it. */
export abstract class StoreBackend {
  abstract readonly store: CompleteSecretStore & Partial<ScopeSource>;
  abstract readonly deletionJobs: DeletionJobStorage;
}

/**
 * The store within quotas, cache and resilience. SecretStore is this one within audit trail and traces, which are about operations of callers;
 * UserWorkspaces is this one itself, since no caller asks for a removal.
 */
abstract class DecoratedStore {
  abstract readonly store: CompleteSecretStore;
}

/** Puts the decorators that the settings choose around the backend, the innermost first. */
async function decorated(
  { store: backend }: StoreBackend,
  { settings: { store, quotas }, log }: Runtime,
  time: MonotonicTime,
  invalidationBus: InvalidationBus,
  telemetry: Telemetry,
  problems: ServiceProblems,
): Promise<DecoratedStore> {
  let outermost: CompleteSecretStore = backend;
  if (store.kind === 'infisical' && readsScopes(backend)) {
    const { resilientStore } = await import('./resilience/concurrency-limit.secret-store.js');
    const resilient = resilientStore(backend, store.timeoutMs, { time, log, observer: telemetry.storeLoad });
    outermost = resilient;
    if (store.cache !== undefined) {
      const { CachedSecretStore } = await import('./cached/cached.secret-store.js');
      const cached = new CachedSecretStore(resilient, store.cache, { time, invalidationBus, observer: telemetry.cache }); // prettier-ignore
      problems.add(() => cached.problems());
      outermost = cached;
    }
  }
  const isLimited = [quotas.workspace, quotas.user].some(
    ({ secrets, bytes }) => Math.min(secrets, bytes) < Infinity,
  );
  if (isLimited) {
    const limited = new QuotaSecretStore(outermost, quotas, {
      time,
      observer: telemetry.quotas,
    });
    invalidationBus.listen((written) =>
      limited.writtenElsewhere(written === 'unknown' ? undefined : written.scope),
    );
    outermost = limited;
  }
  return { store: outermost };
}

function readsScopes(store: StoreBackend['store']): store is CompleteSecretStore & ScopeSource {
  return store.readScope !== undefined;
}

/** Provides the backend's store within its decorators, and closes it. */
@Global()
@Module({})
export class StoresModule implements OnApplicationShutdown {
  constructor(private readonly store: SecretStore) {}

  /** @param backend a module that provides StoreBackend */
  static register(backend: Promise<DynamicModule>): DynamicModule {
    return {
      module: StoresModule,
      imports: [backend],
      providers: [
        factory(
          DecoratedStore,
          [StoreBackend, Runtime, MonotonicTime, InvalidationBus, Telemetry, ServiceProblems],
          decorated,
        ),
        factory(SecretStore, [DecoratedStore, Telemetry, Audit], ({ store }, { spans }, { trail }) => {
          const audited = trail === undefined ? store : new AuditedSecretStore(store);
          return spans === undefined ? audited : new TracedSecretStore(audited, spans);
        }),
        factory(UserWorkspaces, [DecoratedStore], ({ store }) => store),
        factory(DeletionJobStorage, [StoreBackend], ({ deletionJobs }) => deletionJobs),
      ],
      exports: [SecretStore, UserWorkspaces, DeletionJobStorage],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([this.store.close()]);
  }
}
