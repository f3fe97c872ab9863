import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';
import { CHART, chartFile, type KubeManifest, merged, one, render, THREE_VALUES } from './chart';
import { FakeDiscovery } from './fake-discovery';
import { FAMILIES, type Family, tool } from './helm-tools';

const NAMES = ['vault-access-token-key', 'vault-master-key'];
const KEYS = { 'vault-access-token-key': 'access-token-key', 'vault-master-key': 'master-key' } as const;

let cluster: FakeDiscovery;
let folder: string;
beforeAll(async () => {
  cluster = await FakeDiscovery.start();
  folder = mkdtempSync(join(tmpdir(), 'helm-upgrade-'));
  writeFileSync(
    join(folder, 'kubeconfig'),
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'fake', cluster: { server: cluster.url } }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'fake' } }],
      users: [{ name: 'fake', user: {} }],
      'current-context': 'fake',
    }),
  );
  writeFileSync(join(folder, 'values'), stringify(THREE_VALUES['standalone-embedded']));
});
afterAll(async () => {
  await cluster.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  cluster.secrets.clear();
  cluster.kept.clear();
  cluster.ofOtherCharts.clear();
});

/** As `helm upgrade` renders: with a cluster to look into. */
async function renderInCluster(family: Family, ...sets: readonly string[]): Promise<readonly KubeManifest[]> {
  const profile = join(CHART, 'values/standalone-embedded.yaml');
  const args = [
    'template',
    'vault',
    CHART,
    '-n',
    'os-platform',
    '--dry-run=server',
    '--disable-openapi-validation',
  ];
  const { stdout } = await promisify(execFile)(
    tool(family, 'helm'),
    [...args, '-f', profile, '-f', join(folder, 'values'), ...sets.flatMap((set) => ['--set', set])],
    { env: { HOME: folder, KUBECONFIG: join(folder, 'kubeconfig') } },
  );
  return parseAllDocuments(stdout).map((document) => document.toJS() as KubeManifest);
}

const secretOf = (manifests: readonly KubeManifest[], name: string): KubeManifest =>
  one(manifests, 'Secret', name);

describe('the keys that the chart makes', () => {
  it('have 64 random letters and digits', () => {
    const [first, second] = [0, 1].map(() =>
      render({ profiles: ['standalone-embedded'], values: THREE_VALUES['standalone-embedded'] }),
    );
    for (const [name, key] of Object.entries(KEYS)) {
      const made = Buffer.from(secretOf(first!, name)['data'][key], 'base64').toString();
      expect(made).toMatch(/^[A-Za-z0-9]{64}$/);
      expect(secretOf(second!, name)['data'][key]).not.toBe(secretOf(first!, name)['data'][key]);
    }
  });

  it('can be replaced by no later rendering, and the master key not even by an uninstall', () => {
    const manifests = render({
      profiles: ['standalone-embedded'],
      values: THREE_VALUES['standalone-embedded'],
    });
    expect(NAMES.map((name) => secretOf(manifests, name)['immutable'])).toEqual([true, true]);
    expect(secretOf(manifests, 'vault-master-key')['metadata'].annotations).toEqual({
      'helm.sh/resource-policy': 'keep',
    });
  });

  it('have another name in another generation, so that a rollback changes no Secret that is immutable', () => {
    const revision = (generation?: string | number) => {
      const manifests = render({
        profiles: ['standalone-embedded'],
        values: merged(
          THREE_VALUES['standalone-embedded'],
          generation === undefined ? {} : { accessToken: { generation } },
        ),
      });
      const secrets = manifests.filter(({ kind }) => kind === 'Secret');
      const mounted = JSON.stringify(one(manifests, 'StatefulSet')['spec'].template.spec.volumes);
      const names = secrets.map(({ metadata }) => String(metadata.name));
      expect(names.filter((name) => !mounted.includes(`"${name}"`))).toEqual([]);
      return names.filter((name) => name.includes('access-token'));
    };
    expect(revision()).toEqual(['vault-access-token-key']);
    expect(revision('')).toEqual(['vault-access-token-key']);
    expect(revision(2)).toEqual(['vault-access-token-key-2']);
    // A values file has it as a float64.
    expect(revision(20261128)).toEqual(['vault-access-token-key-20261128']);
    expect(revision('2026-11')).toEqual(['vault-access-token-key-2026-11']);
    expect(() => revision('No_Name')).toThrow('generation');
  });

  it.each(FAMILIES)('are made by %s where there are none yet, and kept by each upgrade', async (family) => {
    const installed = await renderInCluster(family);
    for (const name of NAMES) cluster.secrets.set(name, secretOf(installed, name)['data']);
    const upgraded = await renderInCluster(family);
    for (const name of NAMES) expect(secretOf(upgraded, name)['data']).toEqual(cluster.secrets.get(name));
  });

  it.each(FAMILIES)(
    'are not removed by %s since they are named as Secrets of somebody else',
    async (family) => {
      const secrets = ['vault-access-token-key', 'vault-access-token-key-2', 'vault-credentials'];
      for (const name of secrets) {
        cluster.secrets.set(name, { 'access-token-key': 'eA==' });
        await expect(renderInCluster(family, `accessToken.existingSecret=${name}`)).rejects.toThrow(
          `kubectl annotate secret ${name} -n os-platform helm.sh/resource-policy=keep`,
        );
      }
      await expect(
        renderInCluster(family, 'userToken.existingSecret=', 'credentials.existingSecret=vault-credentials'),
      ).rejects.toThrow('credentials.existingSecret: Secret vault-credentials was made by this release');
      cluster.secrets.set('vault-access-token-key', { 'access-token-key': 'eA==' });
      await expect(
        renderInCluster(
          family,
          'fullnameOverride=renamed',
          'accessToken.existingSecret=vault-access-token-key',
        ),
      ).rejects.toThrow('Secret vault-access-token-key was made by this release');
      cluster.kept.add('vault-access-token-key');
      const rendered = await renderInCluster(family, 'accessToken.existingSecret=vault-access-token-key');
      expect(JSON.stringify(one(rendered, 'StatefulSet'))).toContain('"vault-access-token-key"');
      await expect(
        renderInCluster(family, 'accessToken.existingSecret=vault-of-mine'),
      ).resolves.toBeDefined();
    },
  );

  it.each(FAMILIES)(
    'are no Secrets of a parent chart, which %s takes as those of somebody else',
    async (family) => {
      cluster.secrets.set('vault-of-the-platform', { 'access-token-key': 'eA==' });
      cluster.ofOtherCharts.add('vault-of-the-platform');
      const rendered = await renderInCluster(family, 'accessToken.existingSecret=vault-of-the-platform');
      expect(JSON.stringify(one(rendered, 'StatefulSet'))).toContain('"vault-of-the-platform"');
    },
  );

  it('and the volume go to another namespace by the names that helm/README.md has', () => {
    const [, steps = ''] =
      /\n## Another namespace, with[^\n]*\n([\s\S]*?)\n## /.exec(chartFile('README.md')) ?? [];
    const [, secret = '', key = ''] = /get secret <name>(\S+) .*\.data\.([\w-]+)/.exec(steps) ?? [];
    const values = THREE_VALUES['standalone-embedded'];
    const before = render({ profiles: ['standalone-embedded'], values });
    expect(Object.keys(secretOf(before, `vault${secret}`)['data'])).toEqual([key]);
    const [, copy = ''] = /embedded\.masterKey\.existingSecret=([\w-]+)/.exec(steps) ?? [];
    expect(steps).toContain(
      `kubectl create secret generic ${copy} -n os-protected --from-file=${key}=/dev/stdin`,
    );
    const moved = merged(values, { embedded: { masterKey: { existingSecret: copy } } });
    const after = render({ profiles: ['standalone-embedded'], values: moved });
    expect(after.filter(({ metadata }) => metadata.name === `vault${secret}`)).toEqual([]);
    const { template, volumeClaimTemplates } = one(after, 'StatefulSet')['spec'];
    expect(JSON.stringify(template.spec.volumes)).toContain(`{"name":"${copy}","items":[{"key":"${key}"`);
    expect(steps).toContain(`\`${volumeClaimTemplates[0].metadata.name}-<new name>-0\``);
  });

  it.each(FAMILIES)('are not made anew by %s where their Secret is there without them', async (family) => {
    cluster.secrets.set('vault-master-key', { other: 'eA==' });
    await expect(renderInCluster(family)).rejects.toThrow(
      'Secret vault-master-key is there and has no key master-key.',
    );
  });
});
