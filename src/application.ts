import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { Logger } from 'nestjs-pino';
import type { Adapters } from './adapters';
import { AppModule } from './app.module';
import type { Settings } from './config/settings';
import { givenCredentials } from './credentials';
import { BackgroundRemovals } from './departures/background-removals';
import { AnswerForms } from './http/answer-forms';
import { noteWhoWrites } from './http/credential-headers';
import { answerMalformedRequests } from './http/malformed-request';
import type { ProviderRequest } from './http/provider-request';
import { observeRequests, type RequestObserver } from './http/request-observer';
import { assignRequestId } from './http/request-id';
import { StrictExpressAdapter } from './http/strict-express.adapter';
import { systemServerRoute } from './http/system-server-route';
import type { Log } from './logging/log';

/** The whole service, not yet listening. */
export async function createApplication(
  settings: Settings,
  adapters: Adapters,
  log: Log,
): Promise<NestExpressApplication> {
  const forms = new AnswerForms(settings.responseStyle);
  const app = await NestFactory.create<NestExpressApplication>(
    AppModule.register(settings, adapters, forms, log),
    new StrictExpressAdapter(
      strictExpress(adapters.telemetry?.requests),
      forms,
      (adapters.credentials ?? givenCredentials(settings)).tls,
    ),
    { bodyParser: false, bufferLogs: true, abortOnError: false },
  );
  app.useLogger(app.get(Logger));
  answerMalformedRequests(app.getHttpServer());
  return app;
}

/** On a port of its own, where that is wanted; the answer is which. The probes are answered there too, as here. */
export async function listenForMetrics(
  app: NestExpressApplication,
  { telemetry, store, grantSource }: Adapters,
): Promise<number | undefined> {
  const removals = app.get(BackgroundRemovals);
  const service = { store, grantSource, userRemovalsPending: () => removals.pending };
  const probes: Express = app.getHttpAdapter().getInstance();
  return telemetry?.listen(service, probes);
}

/** Express reads these when its router is made, which Nest's adapter does at once: so they come first. */
function strictExpress(observer: RequestObserver | undefined): Express {
  const instance = express();
  instance.disable('x-powered-by');
  instance.disable('etag');
  instance.enable('case sensitive routing');
  instance.enable('strict routing');
  instance.set('query parser', 'simple');
  if (observer !== undefined) instance.use(observeRequests(observer));
  instance.use(beginAnswer, systemServerRoute);
  return instance;
}

/** What every answer carries, also the one to a path that cannot be decoded. */
function beginAnswer(request: Request, response: Response, next: NextFunction): void {
  noteWhoWrites(request);
  (request as ProviderRequest).id = assignRequestId(request, response);
  // Express parses it anew each time it is asked for.
  Object.defineProperty(request, 'query', { value: request.query, configurable: true });
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
}
