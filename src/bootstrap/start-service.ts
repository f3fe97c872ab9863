import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core/nest-factory';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { DestinationStream } from 'pino';
import { AppModule } from '../app.module';
import { applicationOptions, listenForMetrics, shutDown } from './application';
import { errorCodeOf } from '../errors/domain-error';
import { InvalidSettings, type Settings } from '../config/settings';
import { StrictExpressAdapter } from '../http/server/strict-express.adapter';
import { KubeConfigUnusable } from '../kubernetes/kubernetes-api';
import { createLog, type Log, LogDestination, logEvent } from '../logging/log';
import { Registration } from '../registration/registered-objects';
import { SecretStore } from '../secrets/secret-store';
import { EmbeddedStoreUnusable } from '../errors/operator-errors';
import { AddressUnusable } from '../telemetry/metrics-server';
import { logInspectorSignal } from './hardened-process';

/** How long the end of the process waits for a reader of the log that is behind. */
const MAX_FLUSH_MS = 500;

interface StartOptions {
  /** Printed before the log where that is for people. */
  readonly firstLine?: string;
  /** Called when everything is closed, before the process ends. */
  readonly onStopped?: () => void;
}

interface StartedService {
  readonly app: NestExpressApplication;
  readonly port: number;
  readonly log: Log;
}

/**
 * Starts the service; SIGTERM and SIGINT end the process, with 0 where all requests were answered, else with 1. During the start they end it
 * at once with 0: nothing was answered yet, nothing is in the cluster, and a database is as after a crash, which it survives.
 */
export async function startService(settings: Settings, options: StartOptions = {}): Promise<StartedService> {
  const output = new LogDestination(1, (dropped) => log.warn({ lines: dropped }, 'log_lines_dropped'));
  const log = createLog(settings.logLevel, await formatted(output.lines, settings.logFormat, options));
  logInspectorSignal(logEvent(log));
  let stopping = false;
  let serving: NestExpressApplication | undefined = undefined;
  const exit = (code: number): void => {
    options.onStopped?.();
    void output.flush(MAX_FLUSH_MS).then(() => process.exit(code));
  };
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    if (serving === undefined) {
      log.info('stopped');
      exit(0);
      return;
    }
    void shutDown(serving).then(
      (drained) => exit(drained ? 0 : 1),
      () => exit(1),
    );
  };
  // Before anything that takes time: as process 1 of a container Node gets no signal that it does not listen to.
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  const app = await NestFactory.create<NestExpressApplication>(
    AppModule.register(settings, log, output),
    new StrictExpressAdapter(),
    applicationOptions(log),
  );
  await app.listen(settings.port, settings.host);
  // From here on there may be requests, and the server has no address any more once it is closed.
  serving = app;
  const { address, port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  const metricsPort = await listenForMetrics(app);
  if (stopping) return { app, port, log };
  // Registered only now, so that a start that failed or was stopped leaves nothing in the cluster.
  app.get<Registration | undefined>(Registration)?.start();
  // The ping has a wrongly configured store logged before the first request.
  void app
    .get(SecretStore)
    .ping()
    .catch(() => undefined);

  log.info({ address, port, metricsPort, store: settings.store.kind }, 'listening');
  return { app, port, log };
}

/** Returns a destination for JSON lines, or on a terminal for lines for people, whose library is imported only then. */
async function formatted(
  lines: DestinationStream,
  format: Settings['logFormat'],
  { firstLine }: StartOptions,
): Promise<DestinationStream> {
  const { stdout } = process;
  if (format === 'json' || (format === 'auto' && !stdout.isTTY)) return lines;
  if (firstLine !== undefined) stdout.write(`${firstLine}\n\n`);
  const { prettyLog } = await import('../logging/pretty-log.js');
  return prettyLog(lines, stdout.isTTY && stdout.hasColors());
}

/** Returns one clear text for a start that failed; nothing of a foreign error is printed but its class. */
export function startFailure(error: unknown): string {
  if (error instanceof InvalidSettings || error instanceof EmbeddedStoreUnusable) return error.message;
  if (error instanceof AddressUnusable || error instanceof KubeConfigUnusable) return error.message;
  const code = errorCodeOf(error);
  if (code === 'EADDRINUSE') return 'HOST and PORT name an address that is in use already.';
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return 'HOST is not an address of this machine.';
  if (code === 'EACCES') return 'The address of HOST and PORT, or a folder, may not be used by this user.';
  return `The start failed unexpectedly (${error instanceof Error ? error.constructor.name : typeof error}).`;
}
