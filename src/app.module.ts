import { Module, type DynamicModule } from '@nestjs/common';
import { AuditModule } from './audit/audit.module';
import { RuntimeModule, Runtime } from './bootstrap/runtime.module';
import type { Settings } from './config/settings';
import { GrantSourcesModule } from './grant-sources/grant-sources.module';
import { HttpModule } from './http/http.module';
import { type Log, type LogDestination, nestLogger } from './logging/log';
import { RedisModule } from './redis/redis.module';
import { RegistrationModule } from './registration/registration.module';
import { StoresModule } from './stores/stores.module';
import { TelemetryModule, Telemetry } from './telemetry/telemetry.module';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Express } from 'express';
import { GrantSource } from './authz/grant-source';
import { Drain } from './http/guards/admission.guard';
import { Registration } from './registration/registered-objects';
import { SecretStore } from './secrets/secret-store';
import { UserDeprovisioning } from './user-deprovisioning/user-deprovisioning';

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

export const applicationOptions = (log: Log) =>
  ({ bodyParser: false, abortOnError: false, logger: nestLogger(log) }) as const;

/** Serves metrics and the probes on a port of their own, where configured, and returns the port. */
export async function listenForMetrics(app: NestExpressApplication): Promise<number | undefined> {
  const deprovisioning = app.get(UserDeprovisioning);
  const registration = app.get<Registration | undefined>(Registration);
  const service = {
    store: app.get(SecretStore),
    grantSource: app.get(GrantSource),
    userRemovalsPending: () => deprovisioning.pending,
    registrationsFailing: registration && (() => registration.failing()),
  };
  const probes: Express = app.getHttpAdapter().getInstance();
  return app.get(Telemetry).listen(service, probes);
}

/**
 * Waits for the requests in flight and refuses new ones with 503, then closes server and adapters.
 * Resolves to false where requests had to be cut off after SHUTDOWN_TIMEOUT_MS.
 */
export async function shutDown(app: NestExpressApplication): Promise<boolean> {
  await app.close();
  app.get(Runtime).log('info', 'stopped');
  return !app.get(Drain).hasCutOff;
}
