import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AddressUnusable } from './address-unusable';
import type { Metrics } from './metrics';

/** Prometheus and the kubelet are few. */
const MAX_CONNECTIONS = 64;
const TIMEOUT_MS = 10_000;
const PROBE = /^\/(livez|readyz)$/;

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Answers `/metrics`, and the probes as the service itself does, on an address of its own: without TLS or credentials,
 * for whoever may reach it. @throws AddressUnusable
 */
export async function serveMetrics(
  metrics: Metrics,
  probes: RequestListener,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<MetricsServer> {
  const limits = { headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, maxHeaderSize: 8 * 1024 };
  const server = createServer(limits, (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && PROBE.test(path)) return probes(request, response);
    if (isRead && path === '/metrics') {
      void metrics.exposition().then(
        (text) => response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text),
        () => response.writeHead(500).end(),
      );
      return;
    }
    response.writeHead(404).end();
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new AddressUnusable(error.code ?? 'unknown')),
    );
    server.listen(port, host, resolve);
  });
}
