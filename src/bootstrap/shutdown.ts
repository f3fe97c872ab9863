import type { Server } from 'node:http';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Adapters } from './open-adapters';
import { Drain } from '../http/server/drain';
import type { LogEvent } from '../logging/log';

/**
 * Lets the requests in flight end, refuses new ones with 503 meanwhile, then closes server and adapters.
 * Resolves false when requests had to be cut off after `timeoutMs`.
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
