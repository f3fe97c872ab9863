import type { MonotonicTime } from '../../src/time/clock';
import { KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { Informer, type InformerDeps } from '../../src/kubernetes/informer';
import type { ObservedWatch } from '../../src/kubernetes/sync-errors';
import type { FakeApiServer } from '../support/fake-api-server/fake-api-server';

export interface Logged {
  readonly level: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

export function apiOf(server: FakeApiServer, time: MonotonicTime): KubernetesApi {
  const options = () => ({ headers: { authorization: `Bearer ${server.token}` } });
  return new KubernetesApi({ server: server.url, options }, time);
}

export function informerDepsOf(
  server: FakeApiServer,
  time: MonotonicTime,
): InformerDeps & { readonly logged: Logged[] } {
  const logged: Logged[] = [];
  return {
    api: apiOf(server, time),
    time,
    log: (level, event, fields = {}) => logged.push({ level, event, ...fields }),
    random: () => 1,
    maxAgeMs: 600_000,
    logged,
  };
}

export const NAMESPACES = '/api/v1/namespaces';

/** An informer of namespaces and their owners, with the events that it reported. */
export class WatchedNamespaces {
  readonly events: string[] = [];
  readonly informer: Informer<unknown>;
  readonly logged: Logged[];

  constructor(server: FakeApiServer, time: MonotonicTime, watches?: Set<ObservedWatch>, maxAgeMs?: number) {
    const deps = informerDepsOf(server, time);
    this.logged = deps.logged;
    this.informer = new Informer<unknown>(
      {
        path: NAMESPACES,
        read: ({ body }) => (body['metadata'] as { labels?: { owner?: string } }).labels?.owner,
        onPut: (key, owner) => this.events.push(`put ${key} ${String(owner)}`),
        onRemoved: (key) => this.events.push(`removed ${key}`),
        onListed: () => this.events.push('listed'),
      },
      {
        ...deps,
        ...(watches !== undefined && { watches }),
        ...(maxAgeMs !== undefined && { maxAgeMs }),
      },
    );
  }
}

export const namespace = (name: string, owner: string) => ({ metadata: { name, labels: { owner } } });
