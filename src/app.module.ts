import { Module, type DynamicModule } from '@nestjs/common';
import { AuditModule } from './audit/audit.module';
import { RuntimeModule } from './bootstrap/runtime.module';
import type { Settings } from './config/settings';
import { GrantSourcesModule } from './grant-sources/grant-sources.module';
import { HttpModule } from './http/http.module';
import type { Log, LogDestination } from './logging/log';
import { RedisModule } from './redis/redis.module';
import { RegistrationModule } from './registration/registration.module';
import { StoresModule } from './stores/stores.module';
import { TelemetryModule } from './telemetry/telemetry.module';

/**
 * The service. A stop ends its modules in the reverse order of this list, except that the registration ends before the
 * requests are drained, and the server is closed before any module that it uses.
 */
@Module({})
export class AppModule {
  static register(settings: Settings, log: Log, lines?: LogDestination): DynamicModule {
    return {
      module: AppModule,
      imports: [
        RuntimeModule.register(settings, log, lines),
        TelemetryModule,
        AuditModule,
        RedisModule,
        GrantSourcesModule,
        StoresModule.register(storeBackend(settings)),
        HttpModule.register(settings),
        RegistrationModule,
      ],
    };
  }
}

/** Imports only the chosen backend: the other one would cost start time and memory. */
export async function storeBackend({ store, credentialFiles }: Settings): Promise<DynamicModule> {
  if (store.kind === 'embedded') {
    const { EmbeddedStoreModule } = await import('./stores/embedded/embedded-store.module.js');
    return EmbeddedStoreModule.register(store);
  }
  const { InfisicalModule } = await import('./stores/infisical/infisical.module.js');
  return InfisicalModule.register({ ...store, credentialFiles });
}
