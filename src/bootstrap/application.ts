import 'reflect-metadata';
import { NestFactory } from '@nestjs/core/nest-factory';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Express } from 'express';
import { AppModule } from '../app.module';
import { GrantSource } from '../authz/grant-source';
import type { Settings } from '../config/settings';
import { Drain } from '../http/guards/admission.guard';
import { StrictExpressAdapter } from '../http/server/strict-express.adapter';
import { type Log, type LogDestination, nestLogger } from '../logging/log';
import { Registration } from '../registration/manifests';
import { SecretStore } from '../secrets/secret-store';
import { Telemetry } from '../telemetry/telemetry';
import { DeletionWorker } from '../user-deprovisioning/deletion-worker';
import { Runtime } from './runtime.module';

/** Makes the whole service, with its adapters open, not yet listening. */
export async function createApplication(
  settings: Settings,
  log: Log,
  lines?: LogDestination,
): Promise<NestExpressApplication> {
  return NestFactory.create<NestExpressApplication>(
    AppModule.register(settings, log, lines),
    new StrictExpressAdapter(),
    applicationOptions(log),
  );
}

export const applicationOptions = (log: Log) =>
  ({ bodyParser: false, abortOnError: false, logger: nestLogger(log) }) as const;

/** Serves metrics and the probes on a port of their own, where configured, and returns the port. */
export async function listenForMetrics(app: NestExpressApplication): Promise<number | undefined> {
  const worker = app.get(DeletionWorker);
  const registration = app.get<Registration | undefined>(Registration);
  const service = {
    store: app.get(SecretStore),
    grantSource: app.get(GrantSource),
    userRemovalsPending: () => worker.pending,
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
