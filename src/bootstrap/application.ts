import 'reflect-metadata';
import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core/nest-factory';
import type { NestExpressApplication } from '@nestjs/platform-express';
import express, { type Express } from 'express';
import { Logger } from 'nestjs-pino';
import type { Adapters } from './open-adapters';
import { AppModule } from '../app.module';
import { SystemMonotonicTime } from '../time/clock';
import type { Settings } from '../config/settings';
import { fixedCredentials } from './credentials';
import { DeletionWorker } from '../user-deprovisioning/deletion-worker';
import { AnswerForms } from '../http/answers/envelope';
import { Drain } from '../http/guards/early-refusals';
import { beginRequests, type RequestObserver } from '../http/request/begin-request';
import { limitConnections } from '../http/server/connection-limit';
import { LargeAnswers } from '../http/server/json-answers';
import { answerMalformedRequests } from '../http/server/malformed-request';
import { RequestQueue } from '../http/server/request-queue';
import { StrictExpressAdapter } from '../http/server/strict-express.adapter';
import type { Log, LogEvent } from '../logging/log';
import { createLimits } from './limit-providers';

/** Each connection takes some 20 KiB, and up to 100 KiB while an unread head or body is in its buffers. */
const MAX_CONNECTIONS = 2_000;

/** The whole service, not yet listening. */
export async function createApplication(
  settings: Settings,
  adapters: Adapters,
  log: Log,
): Promise<NestExpressApplication> {
  const forms = new AnswerForms(settings.responseStyle);
  const { time = new SystemMonotonicTime(), telemetry, credentials = fixedCredentials(settings) } = adapters;
  const limits = createLimits(settings.limits, adapters, time);
  const largeAnswers = new LargeAnswers(limits.admission, limits.rateLimits, time);
  const requests = new RequestQueue(time, telemetry?.limits);
  const app = await NestFactory.create<NestExpressApplication>(
    AppModule.register(settings, adapters, { forms, limits, time }, log),
    new StrictExpressAdapter(
      strictExpress(telemetry?.requests, log),
      forms,
      largeAnswers,
      requests,
      credentials.tls,
    ),
    { bodyParser: false, bufferLogs: true, abortOnError: false },
  );
  const nestLog = app.get(Logger);
  // Nest tells of each module and each route at `info`.
  nestLog.log = (message: unknown, ...more: unknown[]) => nestLog.debug(message, ...more);
  app.useLogger(nestLog);
  limitConnections(app.getHttpServer(), MAX_CONNECTIONS, telemetry?.limits, time);
  requests.watchConnections(app.getHttpServer());
  answerMalformedRequests(app.getHttpServer());
  return app;
}

/** Serves metrics and the probes on a port of their own, where configured, and returns the port. */
export async function listenForMetrics(
  app: NestExpressApplication,
  { telemetry, store, grantSource, registration }: Adapters,
): Promise<number | undefined> {
  const removals = app.get(DeletionWorker);
  const service = {
    store,
    grantSource,
    userRemovalsPending: () => removals.pending,
    registrationsFailing: registration && (() => registration.failing()),
  };
  const probes: Express = app.getHttpAdapter().getInstance();
  return telemetry?.listen(service, probes);
}

/** Makes an Express with strict settings; they must be set before Nest's adapter makes the router, which reads them. */
function strictExpress(observer: RequestObserver | undefined, log: Log): Express {
  const instance = express();
  instance.disable('x-powered-by');
  instance.disable('etag');
  instance.enable('case sensitive routing');
  instance.enable('strict routing');
  instance.set('query parser', 'simple');
  instance.use(beginRequests(log, observer));
  return instance;
}

/**
 * Waits for the requests in flight and refuses new ones with 503, then closes server and adapters.
 * Resolves to false where requests had to be cut off after `timeoutMs`.
 */
export async function shutDown(
  app: NestExpressApplication,
  adapters: Adapters,
  timeoutMs: number,
  log: LogEvent,
): Promise<boolean> {
  log('info', 'draining', { timeoutMs });
  const registrationClosed = adapters.registration?.close();
  const drained = await app.get(Drain).begin(timeoutMs);
  const server: Server = app.getHttpServer();
  if (!drained) log('warn', 'requests_cut_off');
  adapters.closeCredentials?.();
  const closed = app.close();
  server.closeAllConnections();
  await closed;
  await Promise.allSettled([
    registrationClosed,
    adapters.grantSource.close(),
    adapters.store.close(),
    adapters.closeCluster?.(),
  ]);
  await adapters.closeRedis?.();
  await adapters.telemetry?.close();
  log('info', 'stopped');
  return drained;
}
