import { parseAllDocuments } from 'yaml';
import { FAMILIES } from './helm-tools';
import {
  CHART,
  chartFile,
  helm,
  type KubeManifest,
  lint,
  listOf,
  one,
  PROFILES,
  render,
  THREE_VALUES,
  type Values,
} from './chart';
import { VARIANT_NAMES, renderVariant, variantValues } from './variants';

/** Keys are made anew at each rendering outside of a cluster. */
function comparable(manifests: readonly unknown[]): string {
  return JSON.stringify(manifests, (key, value: unknown) =>
    key === 'data' && isKey(value) ? 'a key' : value,
  );
}
function isKey(value: unknown): boolean {
  const [name] = Object.keys(value as object);
  return ['access-token-key', 'master-key', 'audit-key'].includes(name ?? '');
}

describe('profiles', () => {
  it('are added to each other: several pods on Olares', () => {
    const profiles = ['olares-1.12.0', 'high-availability'] as const;
    const values = {
      infisical: { url: 'https://infisical.example' },
      credentials: { existingSecret: 'provider' },
    };
    const manifests = render({ profiles, values });
    expect(one(manifests, 'HorizontalPodAutoscaler')['spec']).toMatchObject({
      minReplicas: 3,
      maxReplicas: 9,
    });
    const { volumes } = one(manifests, 'Deployment')['spec'].template.spec;
    const sources = listOf(volumes[0].projected.sources).map(({ secret }) => [
      secret.items[0].path,
      secret.name,
    ]);
    expect(Object.fromEntries(sources)).toEqual({
      'user-token-secret': 'lldap-credentials',
      'access-token-key': 'vault-access-token-key',
      'infisical-client-id': 'provider',
      'infisical-client-secret': 'provider',
      'redis-url': 'provider',
    });
  });

  it.each(PROFILES)('say in their first lines which three values %s still asks for', (profile) => {
    const asked = [...chartFile(`values/${profile}.yaml`).matchAll(/--set ([\w.]+)=/g)].map(
      ([, path]) => path!,
    );
    expect(asked).toHaveLength(3);
    for (const path of asked) {
      const value = path.split('.').reduce<unknown>((at, key) => (at as Values)[key], THREE_VALUES[profile]);
      expect([path, typeof value]).toEqual([path, 'string']);
    }
  });
});

describe.each(VARIANT_NAMES)('the chart for %s', (name) => {
  const { profile, values } = variantValues(name);

  it.each(FAMILIES)('passes lint --strict of %s', (family) => {
    const { ok, stdout, stderr } = lint({ family, profiles: [profile], values });
    expect([ok, stderr, stdout.match(/\[(WARNING|ERROR)\].*/g)]).toEqual([
      true,
      expect.not.stringContaining('Fail'),
      null,
    ]);
  });

  it('is rendered alike by Helm 3 and Helm 4', () => {
    const helm3 = render({ family: 'helm 3', profiles: [profile], values });
    expect(comparable(helm3)).toBe(comparable(renderVariant(name)));
  });
});

describe('replicas that are spread over nodes', () => {
  const args = ['template', 'vault', CHART, '-f', `${CHART}/values/high-availability.yaml`, '-f', '-'];
  const renderBy = (version: string): readonly KubeManifest[] => {
    const { stdout } = helm(
      'helm 4',
      [...args, '--kube-version', version],
      THREE_VALUES['high-availability'],
    );
    return parseAllDocuments(stdout).map((document) => document.toJS() as KubeManifest);
  };
  const spreadBy = (version: string): readonly KubeManifest[] =>
    one(renderBy(version), 'Deployment')['spec'].template.spec.topologySpreadConstraints;

  it.each([
    ['1.27.0', 'AlwaysAllow'],
    ['1.26.9', undefined],
  ])('may be taken from a node while they serve nobody, on Kubernetes %s: %s', (version, policy) => {
    const budget = one(renderBy(version), 'PodDisruptionBudget')['spec'];
    expect(budget.unhealthyPodEvictionPolicy).toBe(policy);
  });

  // Else three pods on three workers beside a tainted control plane could never be updated: a fourth would find no node.
  it('leave room for an update and a drain: nodes that take no pod and pods of the version before do not count', () => {
    const spread = spreadBy('1.27.0');
    expect(spread.map(({ whenUnsatisfiable }) => whenUnsatisfiable)).toEqual([
      'DoNotSchedule',
      'ScheduleAnyway',
    ]);
    for (const constraint of spread) {
      expect(constraint).toMatchObject({ nodeTaintsPolicy: 'Honor', matchLabelKeys: ['pod-template-hash'] });
    }
  });

  it('name nothing that an older API server does not know', () => {
    for (const constraint of spreadBy('1.26.9')) {
      expect(Object.keys(constraint).sort()).toEqual([
        'labelSelector',
        'maxSkew',
        'topologyKey',
        'whenUnsatisfiable',
      ]);
    }
  });
});
