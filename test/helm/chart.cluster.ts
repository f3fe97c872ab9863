import { spawnSync } from 'node:child_process';
import type { KubeManifest } from './chart';
import { tool } from './helm-tools';
import { renderVariant, VARIANT_NAMES } from './variants';

/** Made for this run: pods are refused where their namespace or ServiceAccount is missing. */
const NAMESPACE = `olares-secret-provider-dry-run-${process.pid}`;

function kubectl(args: readonly string[], input = ''): string {
  const ran = spawnSync(tool('helm 4', 'kubectl'), args, { input, encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`kubectl ${args[0]}: ${ran.stderr}`);
  return ran.stdout;
}

const accounts = ['default', 'given', 'other', 'vault'];

describe('the chart on the API server that KUBECONFIG names', () => {
  let served: ReadonlySet<string>;
  beforeAll(() => {
    if (!process.env['KUBECONFIG']) throw new Error('KUBECONFIG must name a cluster.');
    served = new Set(kubectl(['api-versions']).trim().split('\n'));
    kubectl(['create', 'namespace', NAMESPACE]);
    const made = accounts.map((name) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } }));
    kubectl(['apply', '-n', NAMESPACE, '-f', '-'], made.map((one) => JSON.stringify(one)).join('\n---\n'));
  });
  afterAll(() => {
    kubectl(['delete', 'namespace', NAMESPACE, '--wait=false']);
  });

  it.each(VARIANT_NAMES)('is accepted by a server-side dry run for %s', (name) => {
    const manifests = renderVariant(name);
    const isServed = ({ apiVersion }: KubeManifest): boolean => served.has(apiVersion);
    const skipped = manifests.filter((manifest) => !isServed(manifest));
    // Older servers lack whole versions, and few have the Prometheus operator's kinds.
    for (const { apiVersion, kind } of skipped) process.stdout.write(`not served: ${apiVersion} ${kind}\n`);
    const moved = manifests.filter(isServed).map((manifest) => ({
      ...manifest,
      metadata: { ...manifest['metadata'], ...(manifest['metadata'].namespace && { namespace: NAMESPACE }) },
    }));
    const documents = moved.map((manifest) => JSON.stringify(manifest)).join('\n---\n');
    const applied = kubectl(
      ['apply', '--server-side', '--dry-run=server', '--force-conflicts', '-n', NAMESPACE, '-f', '-'],
      documents,
    );
    expect(applied.trim().split('\n').length).toBeGreaterThan(moved.length / 2);
  });
});
