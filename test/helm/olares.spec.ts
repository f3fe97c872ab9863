import {
  chartFile,
  type KubeManifest,
  listOf,
  merged,
  namespaceOf,
  one,
  type Profile,
  render,
  renderProfile,
  THREE_VALUES,
  type Values,
} from './chart';
import { settingsOf, workloadOf } from './pod-files';

const PROFILES = ['olares', 'olares-1.12.0'] as const satisfies readonly Profile[];
const rendered = Object.fromEntries(PROFILES.map((profile) => [profile, renderProfile(profile)])) as Readonly<
  Record<(typeof PROFILES)[number], readonly KubeManifest[]>
>;

const policyOf = (manifests: readonly KubeManifest[]): KubeManifest =>
  one(manifests, 'NetworkPolicy', 'vault')['spec'];
/** Names of namespaces that a rule lets in. */
const systemNamespaces = (policy: KubeManifest): unknown =>
  listOf(policy['ingress'][0].from)
    .flatMap(({ namespaceSelector }) => listOf(namespaceSelector?.matchExpressions))
    .find(({ key }) => key === 'kubernetes.io/metadata.name')?.['values'];

/** The resources that the service's ClusterRole names. */
const resourcesOf = (manifests: readonly KubeManifest[], name: string): unknown =>
  listOf(one(manifests, 'ClusterRole', name)['rules']).flatMap(({ resources }) => resources ?? []);

describe.each(PROFILES)('the profile %s', (profile) => {
  const manifests = rendered[profile];
  const settings = settingsOf(manifests);

  it('is installed into the namespace that its first lines name', () => {
    expect(chartFile(`values/${profile}.yaml`)).toContain(
      `helm install secret-provider helm -n ${namespaceOf([profile])} -f helm/values/${profile}.yaml`,
    );
  });

  it("knows LLDAP, its key, and Olares' sender of system events", () => {
    expect(settings).toMatchObject({
      LLDAP_URL: 'http://lldap-service.os-platform:17170',
      SYSTEM_EVENT_SERVICE_ACCOUNTS: 'os-framework:tapr-sysevent',
      GRANTS_SOURCE: 'kubernetes',
    });
    expect(JSON.stringify(workloadOf(manifests))).toContain('"lldap-jwt-secret"');
    const watched = manifests.filter(
      ({ kind, metadata }) => kind === 'Role' && metadata.name === `${namespaceOf([profile])}-vault-pods`,
    );
    expect(watched.map(({ metadata }) => metadata.namespace)).toContain('os-framework');
  });

  it("lets out to the port of Infisical's pods, and to LLDAP's", () => {
    const ports = listOf(policyOf(manifests)['egress']).map(({ ports: to }) =>
      listOf(to).map(({ port }) => port),
    );
    expect(ports).toContainEqual([443, 8088]);
    expect(ports).toContainEqual([17170]);
  });
});

describe('from Olares 1.12.1 on', () => {
  const manifests = rendered.olares;

  it('apps are let through by roles, with their own token alone', () => {
    expect(settingsOf(manifests)).toMatchObject({
      PROVIDER_REGISTRATION: 'rbac',
      PROVIDER_NAME: 'secret-provider',
      PROVIDER_ENDPOINT: 'vault.os-protected:8080',
      USER_TOKEN_REQUIRED: 'false',
    });
    expect(resourcesOf(manifests, 'os-protected-vault')).toContain('clusterroles');
    expect(resourcesOf(manifests, 'os-protected-vault')).not.toContain('providerregistries');
  });

  it('no address proves system-server, since apps write what comes from there', () => {
    expect(settingsOf(manifests)).toMatchObject({ SYSTEM_SERVER_PROOF: 'off', RBAC_PROXY: 'off' });
  });

  it("the pods have the label that Olares' own NetworkPolicy lets system namespaces in by", () => {
    expect(workloadOf(manifests)['spec'].template.metadata.labels).toMatchObject({ provider: 'true' });
    expect(workloadOf(rendered['olares-1.12.0'])['spec'].template.metadata.labels).not.toHaveProperty(
      'provider',
    );
  });

  it('the policy that Olares may delete lets in whoever calls there, and nothing else needs it', () => {
    expect(systemNamespaces(policyOf(manifests))).toEqual(['os-framework', 'os-platform', 'os-protected']);
    const without = renderProfile('olares', { networkPolicy: { enabled: false } });
    const comparable = (all: readonly KubeManifest[]): readonly string[] =>
      all
        .filter(({ kind, metadata }) => kind !== 'NetworkPolicy' && !/-key$/.test(metadata.name))
        .map((manifest) => JSON.stringify(manifest));
    expect(comparable(without)).toEqual(comparable(manifests));
  });
});

describe('up to Olares 1.12.0', () => {
  it('apps reach the service by a ProviderRegistry, and send the token of their user', () => {
    expect(settingsOf(rendered['olares-1.12.0'])).toMatchObject({
      PROVIDER_REGISTRATION: 'provider-registry',
      PROVIDER_ENDPOINT: 'vault.os-platform:8080',
      USER_TOKEN_REQUIRED: 'true',
      SYSTEM_SERVER_PROOF: 'address',
    });
    const resources = resourcesOf(rendered['olares-1.12.0'], 'os-platform-vault');
    expect(resources).toContain('providerregistries');
    expect(resources).not.toContain('clusterroles');
  });
});

describe('the policy that holds the service to roles of its own', () => {
  const apiVersions = ['admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy'];
  const policies = (
    profile: Profile,
    admissionPolicy: boolean | 'auto',
    served: readonly string[] = apiVersions,
    others: Values = {},
  ): readonly KubeManifest[] => {
    const values = merged(THREE_VALUES[profile], { registration: { admissionPolicy }, ...others });
    return render({ profiles: [profile], values, apiVersions: served }).filter(({ kind }) =>
      String(kind).startsWith('ValidatingAdmissionPolicy'),
    );
  };

  it('is there where the cluster has the kind, or where it must be, and only where roles are made', () => {
    expect(policies('olares', 'auto')).toHaveLength(2);
    expect(policies('olares', 'auto', [])).toEqual([]);
    expect(policies('olares', true, [])).toHaveLength(2);
    expect(policies('olares', true, [], { rbac: { create: false } })).toHaveLength(2);
    expect(policies('olares', 'auto', apiVersions, { rbac: { create: false } })).toEqual([]);
    expect(policies('olares', false)).toEqual([]);
    expect(policies('olares-1.12.0', true)).toEqual([]);
  });

  it('holds the ServiceAccount of the service, and no other, to roles of URLs alone and to bindings of its own roles', () => {
    const [policy, binding] = policies('olares', true);
    expect(policy?.['spec'].matchConditions).toEqual([
      {
        name: 'by-the-service',
        expression: "request.userInfo.username == 'system:serviceaccount:os-protected:vault'",
      },
    ]);
    expect(policy?.['spec'].matchConstraints.resourceRules[0]).toMatchObject({
      operations: ['CREATE', 'UPDATE', 'DELETE'],
      resources: ['clusterroles', 'clusterrolebindings'],
    });
    const rules = listOf(policy?.['spec'].validations).map(({ expression }) => String(expression));
    expect(rules).toContain(
      "request.operation == 'DELETE' || request.resource.resource != 'clusterroles' || object.rules.all(rule, has(rule.nonResourceURLs) && !has(rule.resources) && rule.nonResourceURLs.all(url, url.matches('^/(Retrieve|Create|Update|Delete|List)Secret[?]workspace=')))",
    );
    expect(rules).toContain(
      "request.operation == 'DELETE' || request.resource.resource != 'clusterrolebindings' || object.roleRef.name.startsWith('osp:')",
    );
    expect(binding?.['spec']).toEqual({
      policyName: policy?.['metadata'].name,
      validationActions: ['Deny'],
    });
  });
});

it('a cluster between the two is registered both ways', () => {
  const both = renderProfile('olares-1.12.0', { registration: { kind: 'both' } });
  expect(settingsOf(both)['PROVIDER_REGISTRATION']).toBe('both');
  expect(resourcesOf(both, 'os-platform-vault')).toEqual(
    expect.arrayContaining(['clusterroles', 'clusterrolebindings', 'providerregistries']),
  );
});
