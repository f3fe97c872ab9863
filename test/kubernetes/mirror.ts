import type { MonotonicTime } from '../../src/time/clock';
import { KubernetesApi } from '../../src/kubernetes/kubernetes-api';
import { Informer } from '../../src/kubernetes/informer';
import type { InformerDeps, WatchObserver } from '../../src/kubernetes/informer-options';
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

export function surroundingsOf(
  server: FakeApiServer,
  time: MonotonicTime,
): InformerDeps & { readonly logged: Logged[] } {
  const logged: Logged[] = [];
  return {
    api: apiOf(server, time),
    time,
    log: (level, event, fields = {}) => logged.push({ level, event, ...fields }),
    random: () => 1,
    logged,
  };
}

export const NAMESPACES = '/api/v1/namespaces';

/** A collection of namespaces that keeps their owner, and everything that it said. */
export class Mirror {
  readonly said: string[] = [];
  readonly collection: Informer<unknown>;
  readonly logged: Logged[];

  constructor(server: FakeApiServer, time: MonotonicTime, watches?: WatchObserver, maxAgeMs?: number) {
    const around = surroundingsOf(server, time);
    this.logged = around.logged;
    this.collection = new Informer<unknown>(
      {
        path: NAMESPACES,
        read: ({ body }) => (body['metadata'] as { labels?: { owner?: string } }).labels?.owner,
        onPut: (key, owner) => this.said.push(`put ${key} ${String(owner)}`),
        onRemoved: (key) => this.said.push(`removed ${key}`),
        onListed: () => this.said.push('listed'),
      },
      {
        ...around,
        ...(watches !== undefined && { watches }),
        ...(maxAgeMs !== undefined && { maxAgeMs }),
      },
    );
  }
}

export const namespace = (name: string, owner: string) => ({ metadata: { name, labels: { owner } } });
