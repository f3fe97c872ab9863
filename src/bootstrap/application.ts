import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Express } from 'express';
import { GrantSource } from '../authz/grant-source';
import { Drain } from '../http/guards/admission.guard';
import { type Log, nestLogger } from '../logging/log';
import { Registration } from '../registration/registered-objects';
import { SecretStore } from '../secrets/secret-store';
import { Telemetry } from '../telemetry/telemetry.module';
import { UserDeprovisioning } from '../user-deprovisioning/user-deprovisioning';
import { Runtime } from './runtime.module';

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
