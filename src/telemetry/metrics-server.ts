import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { carriesBody } from '../http/request/provider-request';
import { limitConnections } from '../http/server/connection-limit';
import { stopParsing } from '../http/server/express-messages';
import type { Metrics } from './metrics';

/** Only Prometheus and the kubelet connect. */
const MAX_CONNECTIONS = 64;
/** Both are near, send a few lines at once, and read the answer. */
const ARRIVAL_TIMEOUT_MS = 5_000;
/** The longest life of a connection, whatever is sent on it. */
const CONNECTION_TIMEOUT_MS = 10_000;
const MAX_HEADER_PAIRS = 100;
const PROBE = /^\/(livez|readyz)$/;

const LIMITS = {
  headersTimeout: ARRIVAL_TIMEOUT_MS,
  requestTimeout: ARRIVAL_TIMEOUT_MS,
  // By default Node checks connections every 30 s.
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8 * 1024,
  // Without it, node:http would refuse each of thousands of requests in one packet by itself.
  requireHostHeader: false,
} as const;

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Answers `/metrics`, and the probes as the service itself does, on an address of its own, without TLS and credentials.
 * @throws AddressUnusable
 */
export async function serveMetrics(
  metrics: Metrics,
  probes: RequestListener,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<MetricsServer> {
  const asked = new WeakSet<Socket>();
  const server = createServer(LIMITS, (request, response) => {
    // Each answer ends its connection, so that no client keeps one.
    response.shouldKeepAlive = false;
    if (asked.has(request.socket)) return stopParsing(request.socket);
    asked.add(request.socket);
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead || !(path === '/metrics' || PROBE.test(path))) return void response.writeHead(404).end();
    if (carriesBody(request)) return void response.writeHead(413).end();
    if (request.rawHeaders.length > 2 * MAX_HEADER_PAIRS) return void response.writeHead(431).end();
    if (path !== '/metrics') return probes(request, response);
    void metrics.exposition().then(
      (text) => response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  server.on('connection', endInTime);
  limitConnections(server, MAX_CONNECTIONS);
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Names the settings, since the service listens on another address too. */
export class AddressUnusable extends Error {
  constructor(code: string) {
    super(`METRICS_HOST and METRICS_PORT name an address that cannot be listened on (${code}).`);
    this.name = 'AddressUnusable';
  }
}

function endInTime(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), CONNECTION_TIMEOUT_MS);
  socket.once('close', () => clearTimeout(timer));
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new AddressUnusable(error.code ?? 'unknown')),
    );
    server.listen(port, host, resolve);
  });
}
