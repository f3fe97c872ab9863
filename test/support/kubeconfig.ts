import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeApiServer } from './fake-api-server/fake-api-server';

/** Writes a kubeconfig for the fake into this folder, and returns its path. */
export function kubeconfigOf(server: Pick<FakeApiServer, 'url' | 'token'>, dir: string): string {
  const file = join(dir, 'kubeconfig');
  const config = {
    clusters: [{ name: 'a', cluster: { server: server.url, 'insecure-skip-tls-verify': true } }],
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
    users: [{ name: 'a', user: { token: server.token } }],
    'current-context': 'a',
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}
