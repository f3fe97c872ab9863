import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHART, type KubeManifest, renderProfile } from './chart';

const PAGE = readFileSync(join(CHART, 'README.md'), 'utf8');
const [, SECTION = ''] = /\n## An uninstall that fails\n([\s\S]*?)\n## /.exec(PAGE) ?? [];
/** As they are typed for release `vault` in namespace `os-platform`. */
const COMMANDS = [...SECTION.matchAll(/(?:^|`)(kubectl [^`\n]+)/gm)].map(([, command = '']) =>
  command.replaceAll('<namespace>', 'os-platform').replaceAll(/<(name|release)>/g, 'vault'),
);

interface Deletion {
  readonly kinds: readonly string[];
  readonly namespace: string | undefined;
  readonly labels: readonly (readonly [string, string])[];
  readonly name: string | undefined;
}

const DELETIONS = COMMANDS.filter((command) => command.startsWith('kubectl delete ')).map(deletionOf);

function deletionOf(command: string): Deletion {
  const words = command.split(' ').slice(2);
  const valueOf = (flag: string): string | undefined => {
    const at = words.indexOf(flag);
    return at === -1 ? undefined : words.splice(at, 2)[1];
  };
  const [namespace, selector = ''] = [valueOf('-n'), valueOf('-l')];
  const [kinds = '', name] = words.filter((word) => !word.startsWith('-'));
  const labels = selector
    .split(',')
    .filter(Boolean)
    .map((term) => term.split('=') as [string, string]);
  return { kinds: kinds.split(','), namespace, labels, name };
}

const isTakenBy =
  ({ kind, metadata }: KubeManifest) =>
  ({ kinds, namespace, labels, name }: Deletion): boolean =>
    kinds.includes(String(kind).toLowerCase()) &&
    (metadata.namespace === undefined || namespace === undefined || namespace === 'os-platform') &&
    (name === undefined ? labels.length > 0 : name === metadata.name) &&
    labels.every(([label, value]) => metadata.labels[label] === value);

const isOfHook = (hook: string) => (manifest: KubeManifest) =>
  manifest['metadata'].annotations?.['helm.sh/hook'] === hook;

describe('what helm/README.md says of an uninstall that fails', () => {
  const manifests = renderProfile('olares-1.12.0');

  it('takes away by hand all that the job of the uninstall brings, and the pod of the test', () => {
    const hooks = [...manifests.filter(isOfHook('post-delete')), ...manifests.filter(isOfHook('test'))];
    expect(hooks.map(({ kind }) => kind).sort()).toEqual([
      'ClusterRole',
      'ClusterRoleBinding',
      'Job',
      'NetworkPolicy',
      'Pod',
      'Role',
      'RoleBinding',
      'ServiceAccount',
    ]);
    const staying = hooks.filter((hook) => !DELETIONS.some(isTakenBy(hook)));
    expect(staying.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([]);
  });

  it('reads the log of a job that there is', () => {
    const job = manifests.find(({ kind }) => kind === 'Job');
    expect(COMMANDS).toContain(`kubectl logs -n os-platform job/${job?.['metadata'].name}`);
  });

  it('takes away by hand what the service registers, by the label that it gives', () => {
    const [registered] = DELETIONS.filter(({ kinds }) => kinds.some((kind) => kind.includes('bytetrade')));
    expect(registered).toEqual({
      kinds: ['providerregistries.sys.bytetrade.io', 'syseventregistries.apr.bytetrade.io'],
      namespace: undefined,
      labels: [['app.kubernetes.io/managed-by', 'olares-secret-provider']],
      name: undefined,
    });
  });

  it('leaves what is needed where the release is installed again: each hook replaces what stayed', () => {
    for (const { metadata } of manifests.filter(isOfHook('post-delete')))
      expect(metadata.annotations['helm.sh/hook-delete-policy']).toContain('before-hook-creation');
  });
});

describe('the Olares profile without Infisical', () => {
  it('has the embedded store, registered and with LLDAP’s key, by the one value that its first lines name', () => {
    const manifests = renderProfile('olares-1.12.0', { infisical: { url: '', existingSecret: '' } });
    const kinds = manifests.map(({ kind }) => String(kind));
    expect(kinds).toContain('StatefulSet');
    expect(kinds).not.toContain('Deployment');
    expect(kinds).toContain('ClusterRole');
    const secrets = manifests.filter(({ kind }) => kind === 'Secret').map(({ metadata }) => metadata.name);
    expect(secrets).toEqual(['vault-access-token-key', 'vault-master-key']);
    expect(JSON.stringify(manifests)).toContain('"lldap-jwt-secret"');
  });
});
