import { logInspectorSignal } from './bootstrap/inspector-signal';
import type { AddressInfo } from 'node:net';
import type { DestinationStream } from 'pino';
import { createApplication, listenForMetrics, shutDown } from './bootstrap/application';
import { InvalidSettings, loadSettings, type Settings } from './config/settings';
import { withDevelopmentCredentials } from './development/development';
import { createLog, LogDestination, logEvent } from './logging/log';
import { Registration } from './registration/manifests';
import { GrantSource } from './authz/grant-source';
import { SecretStore } from './secrets/secret-store';
import { EmbeddedStoreUnusable } from './stores/embedded/embedded-store-unusable';
import { KubeConfigUnusable } from './kubernetes/kubernetes-api';
import { AddressUnusable } from './telemetry/metrics-server';

/** How long the end of the process waits for a reader of the log that is behind. */
const MAX_FLUSH_MS = 500;

async function main(): Promise<void> {
  const development = withDevelopmentCredentials(process.env);
  const settings = loadSettings(development.env);
  const output = new LogDestination(1, (dropped) => log.warn({ lines: dropped }, 'log_lines_dropped'));
  const log = createLog(settings.logLevel, await formatted(output.lines, settings.logFormat));
  logInspectorSignal(logEvent(log));
  const app = await createApplication(settings, log, output);
  await app.listen(settings.port, settings.host);
  const metricsPort = await listenForMetrics(app);
  // Registered only now, so that a start that failed leaves nothing in the cluster.
  app.get<Registration | undefined>(Registration)?.start();
  // The ping has a wrongly configured store logged before the first request.
  void app
    .get(SecretStore)
    .ping()
    .catch(() => undefined);

  const exit = (code: number): void => void output.flush(MAX_FLUSH_MS).then(() => process.exit(code));
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    void shutDown(app).then(
      (drained) => exit(drained ? 0 : 1),
      () => exit(1),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  const { address, port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  log.info({ address, port, metricsPort, store: settings.store.kind }, 'listening');
  // The banner's calls are plain http.
  if (development.selfContained && settings.tls === undefined) {
    const { printStartBanner, urlOf } = await import('./development/start-banner.js');
    // The banner is a convenience, and its failure must not end a service that is listening.
    await printStartBanner(
      development.folder,
      urlOf(settings.host, port),
      settings,
      app.get(GrantSource),
    ).catch((error: unknown) => log.warn({ err: error }, 'start_banner_failed'));
  }
}

/** Returns a destination for JSON lines, or on a terminal for lines for people, whose library is imported only then. */
async function formatted(
  lines: DestinationStream,
  format: Settings['logFormat'],
): Promise<DestinationStream> {
  const { stdout } = process;
  if (format === 'json' || (format === 'auto' && !stdout.isTTY)) return lines;
  stdout.write(
    `olares-secret-provider is starting on Node ${process.versions.node}. LOG_FORMAT=json logs as in production.\n\n`,
  );
  const { prettyLog } = await import('./logging/pretty-log.js');
  return prettyLog(lines, stdout.isTTY && stdout.hasColors());
}

/** Returns one clear text for a start that failed; nothing of a foreign error is printed but its class. */
function explain(error: unknown): string {
  if (error instanceof InvalidSettings || error instanceof EmbeddedStoreUnusable) return error.message;
  if (error instanceof AddressUnusable || error instanceof KubeConfigUnusable) return error.message;
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return 'HOST and PORT name an address that is in use already.';
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return 'HOST is not an address of this machine.';
  if (code === 'EACCES') return 'The address of HOST and PORT, or a folder, may not be used by this user.';
  return `The start failed unexpectedly (${error instanceof Error ? error.constructor.name : typeof error}).`;
}

main().catch((error: unknown) => {
  process.stderr.write(`olares-secret-provider cannot start. ${explain(error)}\n`);
  process.exit(1);
});
