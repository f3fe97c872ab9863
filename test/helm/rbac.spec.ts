import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HARDENING_FLAGS } from '../image/recipe';
import { type KubeManifest, listOf, one, renderProfile, ROOT, type Values } from './chart';
import { renderVariant, VARIANT_NAMES } from './variants';

/** `<where> <group>/<resource>: <verbs>`, of every account that a binding names. */
function rightsOf(
  manifests: readonly KubeManifest[],
  account: string,
  inNamespace = 'os-platform',
): readonly string[] {
  const bindings = manifests.filter(({ kind }) => /^(Cluster)?RoleBinding$/.test(kind));
  const held = bindings.filter(({ subjects }) =>
    listOf(subjects).some(
      ({ kind, name, namespace }) =>
        [kind, name, namespace].join() === `ServiceAccount,${account},${inNamespace}`,
    ),
  );
  return held
    .flatMap(({ roleRef, metadata }) => {
      const role = manifests.find(
        ({ kind, metadata: { name, namespace } }) =>
          kind === roleRef.kind &&
          name === roleRef.name &&
          (kind === 'ClusterRole' || namespace === metadata.namespace),
      );
      const where = role!['kind'] === 'ClusterRole' ? 'everywhere' : metadata.namespace;
      return listOf(role!['rules']).flatMap((rule) => {
        const { apiGroups, resources, nonResourceURLs, verbs } = rule as Readonly<
          Record<string, readonly string[]>
        >;
        if (nonResourceURLs !== undefined)
          return nonResourceURLs.map((url) => `${where} ${url}: ${verbs!.join(', ')}`);
        return resources!.map(
          (resource) => `${where} ${apiGroups!.join()}/${resource}: ${verbs!.join(', ')}`,
        );
      });
    })
    .sort();
}

const WATCHED = [
  'everywhere /namespaces: list, watch',
  'everywhere /pods: list, watch',
  'everywhere app.bytetrade.io/applicationmanagers: list, watch',
  'everywhere authentication.k8s.io/tokenreviews: create',
  'everywhere discovery.k8s.io/endpointslices: list, watch',
  'everywhere sys.bytetrade.io/applicationpermissions: list, watch',
  // Of Olares' sender of system events.
  'os-framework /pods: list, watch',
];
const REGISTERED = [
  'everywhere sys.bytetrade.io/providerregistries: list, watch, create, patch',
  'os-platform apr.bytetrade.io/syseventregistries: list, watch, create, patch',
];

const ROLES = [
  'everywhere /CreateSecret?workspace=*: create',
  'everywhere /DeleteSecret?workspace=*: create',
  'everywhere /ListSecret?workspace=*: create',
  'everywhere /RetrieveSecret?workspace=*: create',
  'everywhere /UpdateSecret?workspace=*: create',
  'everywhere rbac.authorization.k8s.io/clusterrolebindings: list, watch, create, patch, delete',
  'everywhere rbac.authorization.k8s.io/clusterroles: list, watch, create, patch, delete',
];

const isOfHook = ({ annotations }: KubeManifest['metadata']): boolean =>
  annotations?.['helm.sh/hook'] !== undefined;

describe("the service's ServiceAccount", () => {
  it('holds what is watched everywhere, and nothing more', () => {
    const manifests = renderProfile('olares-1.12.0', { registration: { enabled: false } });
    expect(rightsOf(manifests, 'vault')).toEqual(WATCHED);
    expect(manifests.filter(({ kind, metadata }) => kind === 'Job' && !isOfHook(metadata))).toEqual([]);
  });

  it('reads the ConfigMaps of the cluster, and keeps approvals in its own namespace, only where apps bring their manifests', () => {
    const manifests = renderProfile('olares-1.12.0', {
      registration: { enabled: false },
      grants: { feeds: ['manifests', 'application-permissions'] },
    });
    const more = ['everywhere /configmaps: list, watch', 'os-platform /configmaps: create, patch, delete'];
    expect(rightsOf(manifests, 'vault')).toEqual([...WATCHED, ...more].sort());
  });

  it('may register where it registers', () => {
    expect(rightsOf(renderVariant('olares-1.12.0'), 'vault')).toEqual([...WATCHED, ...REGISTERED].sort());
  });

  it('may list ClusterRoles where it has to find out which Olares this is', () => {
    const auto = renderProfile('olares-1.12.0', { olares: { release: 'auto' } });
    expect(rightsOf(auto, 'vault')).toEqual(
      [...WATCHED, ...REGISTERED, 'everywhere rbac.authorization.k8s.io/clusterroles: list'].sort(),
    );
  });

  it('may watch the pods of static grants where those of no Settings app are watched', () => {
    const serviceAccount = 'user-space-<user>:system-frontend';
    const staticGrants = [{ serviceAccount, workspaces: ['settings'], operations: ['ListSecret'] }];
    const settingsRoutes = { mode: 'off' };
    const rendered = renderProfile('olares-1.12.0', { settingsRoutes, olares: { staticGrants } });
    expect(rightsOf(rendered, 'vault')).toEqual([...WATCHED, ...REGISTERED].sort());
  });

  it('may keep roles, and holds all that they grant, where apps call by them', () => {
    const events = REGISTERED[1]!.replace('os-platform', 'os-protected');
    const watched = WATCHED.filter((right) => !/application(permission|manager)s/.test(right));
    const manifests = [
      'everywhere /configmaps: list, watch',
      'os-protected /configmaps: create, patch, delete',
    ];
    expect(rightsOf(renderVariant('olares'), 'vault', 'os-protected')).toEqual(
      // Of the integration server, which is one of the static grants.
      [...watched, ...manifests, ...ROLES, events, 'os-protected /pods: list, watch'].sort(),
    );
    const both = renderProfile('olares-1.12.0', { registration: { kind: 'both' } });
    expect(rightsOf(both, 'vault')).toEqual([...WATCHED, ...ROLES, ...REGISTERED].sort());
  });

  it('may watch pods everywhere only where the Settings app stands in the namespaces of users', () => {
    const narrow = [...WATCHED, ...REGISTERED].filter((right) => !right.includes('everywhere /pods')).sort();
    expect(rightsOf(renderVariant('no Settings app'), 'vault')).toEqual(narrow);
    expect(rightsOf(renderVariant('a Settings app of its own'), 'vault')).toEqual(
      [...narrow, 'os-settings /pods: list, watch'].sort(),
    );
  });

  it('may watch pods in the namespaces of believed ServiceAccounts', () => {
    const pods = ['proxies /pods: list, watch'];
    expect(rightsOf(renderVariant('trusted ServiceAccounts'), 'vault')).toEqual(
      [...WATCHED, ...REGISTERED, ...pods].sort(),
    );
  });

  it('holds nothing where the grants are a folder, nor where roles are made by somebody else', () => {
    expect(rightsOf(renderVariant('standalone-embedded'), 'vault')).toEqual([]);
    const without = renderVariant('no metrics, no policies, no roles, no accounts of its own');
    expect(rightsOf(without, 'given')).toEqual([]);
  });

  it('holds what docs/kubernetes.md lists', () => {
    const table = readFileSync(join(ROOT, 'docs/kubernetes.md'), 'utf8')
      .split('ServiceAccount needs')[1]!
      .split('\n## ')[0]!;
    const rows = table.split('\n').filter((line) => /^\| [`–]/.test(line));
    const listed = rows.flatMap((line) => {
      const [, group = '', resources = '', verbs = ''] = line.split('|').map((cell) => cell.trim());
      const [, resource = ''] = /`(\w+)`/.exec(resources) ?? [];
      const meant = verbs.replace(/;.*/, '').replace(/.*: /, '');
      const urls = [...resources.matchAll(/`(\/\S+)`/g)].map(([, url]) => `${url}: ${meant}`);
      if (urls.length > 0) return urls;
      return [`${group.replace(/[`–]/g, '')}/${resource}: ${meant}`];
    });
    const held = rightsOf(renderVariant('registered both ways'), 'vault').map((right) =>
      right.replace(/^\S+ /, ''),
    );
    expect([...new Set(held)].sort()).toEqual(listed.sort());
  });
});

describe("the uninstall's ServiceAccount", () => {
  const manifests = renderVariant('olares-1.12.0');
  const hooks = manifests.filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === 'post-delete');

  it.each<[string, Values]>([
    ['with registration by ProviderRegistries', { registration: { kind: 'provider-registry' } }],
    ['with registration both ways', { registration: { kind: 'both' } }],
    ['once registration is off', { registration: { enabled: false } }],
  ])('may find and remove what any kind of registration has left, and nothing more: %s', (_name, values) => {
    const rendered = renderProfile('olares-1.12.0', values);
    expect(rightsOf(rendered, 'vault-unregister')).toEqual([
      'everywhere rbac.authorization.k8s.io/clusterrolebindings: list, delete',
      'everywhere rbac.authorization.k8s.io/clusterroles: list, delete',
      'everywhere sys.bytetrade.io/providerregistries: list, delete',
      'os-platform apr.bytetrade.io/syseventregistries: list, delete',
    ]);
    const { env } = one(rendered, 'Job')['spec'].template.spec.containers[0];
    expect(env).toEqual([{ name: 'PROVIDER_ENDPOINT', value: 'vault.os-platform:8080' }]);
  });

  it('comes with upgrades and rollbacks too while registration is off, and never where there is no cluster, or where the chart makes no roles', () => {
    const eventsOf = (rendered: readonly KubeManifest[]): readonly string[] => {
      const hooks = rendered.filter(
        ({ metadata }) => isOfHook(metadata) && /unregister$/.test(metadata.name),
      );
      return [...new Set(hooks.map(({ metadata }) => String(metadata.annotations['helm.sh/hook'])))];
    };
    expect(eventsOf(manifests)).toEqual(['post-delete']);
    expect(eventsOf(renderProfile('olares-1.12.0', { registration: { enabled: false } }))).toEqual([
      'post-delete,post-upgrade,post-rollback',
    ]);
    expect(eventsOf(renderVariant('standalone-embedded'))).toEqual([]);
    const withoutRoles = renderProfile('olares-1.12.0', { rbac: { create: false } });
    expect(withoutRoles.filter(({ kind }) => /Role|^Job$/.test(kind))).toEqual([]);
  });

  it('comes with the job, which needs nothing of the release that is gone', () => {
    const kinds = hooks.map(({ kind }) => kind).sort();
    expect(kinds).toEqual([
      'ClusterRole',
      'ClusterRoleBinding',
      'Job',
      'NetworkPolicy',
      'Role',
      'RoleBinding',
      'ServiceAccount',
    ]);
    const weight = (kind: string): number =>
      Number(hooks.find((hook) => hook['kind'] === kind)!['metadata'].annotations['helm.sh/hook-weight']);
    for (const kind of kinds.filter((k) => k !== 'Job')) expect(weight(kind)).toBeLessThan(weight('Job'));
    const job = hooks.find(({ kind }) => kind === 'Job')!['spec'].template.spec;
    expect(job.serviceAccountName).toBe('vault-unregister');
    expect(job.containers[0].command).toEqual(['node', ...HARDENING_FLAGS, 'dist/cli/unregister.js']);
    expect([job.volumes, job.containers[0].envFrom]).toEqual([undefined, undefined]);
  });
});

describe.each(VARIANT_NAMES)('the roles for %s', (name) => {
  it('name each group, resource and verb, and let nobody read a Secret', () => {
    const roles = renderVariant(name).filter(({ kind }) => /^(Cluster)?Role$/.test(kind));
    const words = roles.flatMap(({ rules }) =>
      listOf(rules).flatMap(({ nonResourceURLs: _urls, ...rule }) => Object.values(rule).flat()),
    );
    expect(
      words.filter((word) => /\*|^secrets|^get$|impersonate|^bind$|escalate/.test(String(word))),
    ).toEqual([]);
  });
});
