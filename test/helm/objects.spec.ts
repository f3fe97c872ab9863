import { type KubeManifest, listOf, merged, render, THREE_VALUES } from './chart';
import { problemsOf } from './kubernetes-schema';
import { renderVariant, VARIANT_NAMES } from './variants';

interface Pod {
  readonly owner: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: KubeManifest;
}

function podsOf(manifests: readonly KubeManifest[]): readonly Pod[] {
  return manifests.flatMap(({ kind, metadata, spec }) => {
    const owner = `${kind} ${metadata.name}`;
    if (kind === 'Pod')
      return [{ owner, namespace: metadata.namespace ?? 'os-platform', labels: metadata.labels, spec }];
    if (spec?.template?.spec === undefined) return [];
    const {
      metadata: { labels },
      spec: podSpec,
    } = spec.template;
    return [{ owner, namespace: 'os-platform', labels, spec: podSpec }];
  });
}

/** Is every label that the selector asks for there? */
function selects(selector: KubeManifest, labels: Pod['labels']): boolean {
  return Object.entries((selector['matchLabels'] ?? {}) as object).every(
    ([key, value]) => labels[key] === value,
  );
}

describe('the schema check', () => {
  const deployment = renderVariant('olares-1.12.0').find(({ kind }) => kind === 'Deployment')!;
  const withSpec = (change: object): KubeManifest => ({
    ...deployment,
    spec: { ...deployment['spec'], ...change },
  });

  it('sees a missing, a mistyped and an unknown field', () => {
    expect(problemsOf(withSpec({ selector: undefined }))).toContain(
      'data/spec must have required property selector',
    );
    expect(problemsOf(withSpec({ replicas: 'two' }))).toContain('data/spec/replicas must be integer');
    expect(problemsOf(withSpec({ replcias: 2 }))).toEqual(['/spec/replcias is not known']);
  });
});

describe.each(VARIANT_NAMES)('the objects for %s', (name) => {
  const manifests = renderVariant(name);
  const pods = podsOf(manifests);

  it("have the form of Kubernetes' OpenAPI schemas, without unknown fields", () => {
    const problems = manifests.flatMap((manifest) =>
      problemsOf(manifest).map((problem) => `${manifest['kind']} ${manifest['metadata'].name}: ${problem}`),
    );
    expect(problems).toEqual([]);
  });

  it('are each named once, with the labels that tell whose they are', () => {
    const names = manifests.map(
      ({ kind, metadata }) => `${kind}/${metadata.namespace ?? ''}/${metadata.name}`,
    );
    expect(new Set(names).size).toBe(names.length);
    for (const { metadata } of manifests) {
      expect(metadata.labels).toMatchObject({
        'app.kubernetes.io/name': 'olares-secret-provider',
        'app.kubernetes.io/instance': 'vault',
        'app.kubernetes.io/managed-by': 'Helm',
      });
    }
  });

  it('hold pods of the restricted Pod Security Standard, with a read-only root', () => {
    expect(pods.length).toBeGreaterThan(1);
    for (const { spec } of pods) {
      expect(spec['securityContext']).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 65532,
        runAsGroup: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect([spec['hostNetwork'], spec['hostPID'], spec['hostIPC'], spec['initContainers']]).toEqual(
        Array(4).fill(undefined),
      );
      for (const container of spec['containers']) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          privileged: false,
          readOnlyRootFilesystem: true,
          runAsNonRoot: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(listOf(container.ports).filter((port) => 'hostPort' in port)).toEqual([]);
        expect(container.resources.limits.memory).toBe(container.resources.requests.memory);
      }
      const kinds = listOf(spec['volumes']).flatMap((volume) =>
        Object.keys(volume).filter((key) => key !== 'name'),
      );
      const allowed = ['projected', 'configMap', 'emptyDir', 'persistentVolumeClaim'];
      expect(kinds.filter((kind) => !allowed.includes(kind))).toEqual([]);
    }
  });

  it('mount files that only the process and its group may read', () => {
    const projected = pods.flatMap(({ spec }) =>
      listOf(spec['volumes']).filter((volume) => 'projected' in volume),
    );
    const modes = projected.map((volume) => volume['projected'].defaultMode);
    expect(modes).toEqual(modes.map(() => 0o440));
  });

  it('mount a token of the API server only where it is used', () => {
    const inCluster = settings(manifests)['GRANTS_SOURCE'] === 'kubernetes';
    for (const { owner, spec } of pods) {
      const uses = owner.startsWith('Job') || (inCluster && !owner.startsWith('Pod'));
      expect([owner, spec['automountServiceAccountToken']]).toEqual([owner, uses]);
    }
    for (const account of manifests.filter(({ kind }) => kind === 'ServiceAccount')) {
      expect(account['automountServiceAccountToken']).toBe(false);
    }
  });

  it('hold no credential outside of a Secret', () => {
    const outside = manifests.filter(({ kind }) => kind !== 'Secret');
    expect(JSON.stringify(outside)).not.toContain('canary');
    const keys = manifests.filter(({ kind }) => kind === 'Secret').flatMap(({ data }) => Object.values(data));
    for (const key of keys) {
      const text = Buffer.from(String(key), 'base64').toString('utf8');
      expect(JSON.stringify(outside)).not.toContain(text);
    }
    for (const { spec } of pods) {
      const env = listOf(spec['containers']).flatMap((container) => listOf(container['env']));
      const sources = env.flatMap(({ valueFrom }) => Object.keys((valueFrom as object | undefined) ?? {}));
      expect(sources.filter((source) => source !== 'fieldRef')).toEqual([]);
      const from = listOf(spec['containers']).flatMap(({ envFrom }) => listOf(envFrom));
      expect(from.filter(({ secretRef }) => secretRef !== undefined)).toEqual([]);
    }
  });

  it('hold a NetworkPolicy for each pod, both ways, unless it is switched off', () => {
    const policies = manifests.filter(({ kind }) => kind === 'NetworkPolicy');
    const isOff = name.startsWith('no metrics, no policies');
    for (const { owner, labels } of pods) {
      const covering = policies.filter(({ spec }) => selects(spec.podSelector, labels));
      expect([owner, covering.map(({ spec }) => spec.policyTypes)]).toEqual([
        owner,
        isOff ? [] : [['Ingress', 'Egress']],
      ]);
    }
  });

  it('let Service, budget and workload find the pods that serve, and no other', () => {
    const serving = pods.filter(({ owner }) => /^(Deployment|StatefulSet)/.test(owner));
    expect(serving).toHaveLength(1);
    const selectors = manifests
      .filter(({ kind }) => kind === 'Service')
      .map(({ spec }) => ({ matchLabels: spec.selector }))
      .concat(
        manifests
          .filter(({ kind }) => ['PodDisruptionBudget', 'Deployment', 'StatefulSet'].includes(String(kind)))
          .map(({ spec }) => spec.selector),
      );
    for (const selector of selectors) {
      expect(pods.filter(({ labels }) => selects(selector, labels))).toEqual(serving);
    }
  });
});

function settings(manifests: readonly KubeManifest[]): Record<string, string> {
  return manifests.find(({ kind, data }) => kind === 'ConfigMap' && 'GRANTS_SOURCE' in data)!['data'];
}

describe('on OpenShift, which gives each namespace ids of its own', () => {
  const openshift = ['security.openshift.io/v1'];
  it.each<[string, string, readonly string[], number | undefined]>([
    ['auto', 'there', openshift, undefined],
    ['auto', 'elsewhere', [], 65532],
    ['platform', 'elsewhere', [], undefined],
    ['fixed', 'there', openshift, 65532],
  ])('the ids %s are, %s, in every pod those of the platform or 65532', (ids, _where, apiVersions, id) => {
    const values = merged(THREE_VALUES['olares-1.12.0'], { podSecurity: { ids } });
    const found = podsOf(render({ profiles: ['olares-1.12.0'], values, apiVersions })).map(({ spec }) => {
      const { runAsUser, runAsGroup, fsGroup, runAsNonRoot } = spec['securityContext'];
      return [runAsUser, runAsGroup, fsGroup, runAsNonRoot];
    });
    expect(found).toEqual(Array(3).fill([id, id, id, true]));
  });
});
