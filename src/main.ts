import './bootstrap/hardened-process';
import { startFailure, startService } from './bootstrap/start-service';
import { GrantSource } from './authz/grant-source';
import { loadSettings } from './config/settings';
import { withDevelopmentCredentials } from './development/development';

async function main(): Promise<void> {
  const development = withDevelopmentCredentials(process.env);
  const settings = loadSettings(development.env);
  const { app, port, log } = await startService(settings, {
    firstLine: `olares-secret-provider is starting on Node ${process.versions.node}. LOG_FORMAT=json logs as in production.`,
  });
  // The banner's calls are plain http.
  if (development.selfContained && settings.tls === undefined) {
    const { printStartBanner, urlOf } = await import('./development/example-caller.js');
    // The banner is a convenience, and its failure must not end a service that is listening.
    await printStartBanner(
      development.folder,
      urlOf(settings.host, port),
      settings,
      app.get(GrantSource),
    ).catch((error: unknown) => log.warn({ err: error }, 'start_banner_failed'));
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`olares-secret-provider cannot start. ${startFailure(error)}\n`);
  process.exit(1);
});
