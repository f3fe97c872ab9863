import { createServer } from 'node:http';
import { ExpressAdapter } from '@nestjs/platform-express';

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the 60 s that proxies commonly keep an idle connection, so that it is they who close it. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** Node looks for overdue connections every 30 s of its own accord, which makes the time-outs above mean little. */
const CONNECTIONS_CHECKED_EVERY_MS = 1_000;
/** Bodies are read before credentials are checked: this bounds what strangers can make us hold. */
const MAX_CONNECTIONS = 2_000;

/** Nest's adapter over a server with limits that only its constructor takes. */
export class StrictExpressAdapter extends ExpressAdapter {
  override initHttpServer(): void {
    const handler = this.getInstance<Parameters<typeof createServer>[1]>();
    const server = createServer(
      {
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
        connectionsCheckingInterval: CONNECTIONS_CHECKED_EVERY_MS,
        // We do not read Host; without it node:http would answer with an empty body of its own.
        requireHostHeader: false,
      },
      handler,
    );
    server.maxConnections = MAX_CONNECTIONS;
    this.httpServer = server;
  }
}
