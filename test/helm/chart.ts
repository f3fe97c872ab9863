import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { FAMILIES, type Family, tool } from './helm-tools';

// Before any test begins: a fetch over a slow network would count as the first test's own time.
for (const family of FAMILIES) tool(family, 'helm');

export const ROOT = join(__dirname, '../..');
export const CHART = join(ROOT, 'helm');

/** A rendered object; a test reads what it needs of it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- rendered YAML is untyped, as JSON answers are
export type KubeManifest = Readonly<Record<string, any>>;
export type Values = Readonly<Record<string, unknown>>;

const HOME = join(ROOT, 'node_modules/.cache/helm/home');

export interface Outcome {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export const PROFILES = ['olares', 'olares-1.12.0', 'standalone-embedded', 'high-availability'] as const;
export type Profile = (typeof PROFILES)[number];

/** What each profile asks for beside itself, as its first lines say: the three values of an install. */
export const THREE_VALUES: Readonly<Record<Profile, Values>> = {
  olares: {
    image: { repository: 'registry.example/provider' },
    infisical: { url: 'https://infisical.example', existingSecret: 'infisical-identity' },
  },
  'olares-1.12.0': {
    image: { repository: 'registry.example/provider' },
    infisical: { url: 'https://infisical.example', existingSecret: 'infisical-identity' },
  },
  'standalone-embedded': {
    image: { repository: 'registry.example/provider' },
    userToken: { existingSecret: 'user-token' },
    grants: { volume: { configMap: { name: 'apps' } } },
  },
  'high-availability': {
    image: { repository: 'registry.example/provider' },
    infisical: { url: 'https://infisical.example' },
    credentials: { existingSecret: 'provider-credentials' },
  },
};

/** The namespace that the first lines of a profile name. */
export function namespaceOf(profiles: readonly Profile[]): string {
  return profiles.includes('olares') ? 'os-protected' : 'os-platform';
}

export interface Rendering {
  /** What the cluster serves beside Kubernetes' own kinds. */
  readonly apiVersions?: readonly string[];
  readonly family?: Family;
  readonly profiles?: readonly Profile[];
  readonly values?: Values;
  readonly namespace?: string;
}

export function helm(family: Family, args: readonly string[], values: Values = {}): Outcome {
  const ran = spawnSync(tool(family, 'helm'), args, {
    input: stringify(values),
    encoding: 'utf8',
    // No cluster, and no settings or plugins of whoever runs this.
    env: {
      HELM_CACHE_HOME: HOME,
      HELM_CONFIG_HOME: HOME,
      HELM_DATA_HOME: HOME,
      HOME,
      KUBECONFIG: join(HOME, 'none'),
      // It ends before it holds 100 MiB, and collecting garbage is a quarter of what it does.
      GOGC: 'off',
    },
  });
  return { ok: ran.status === 0, stdout: ran.stdout, stderr: ran.stderr };
}

/** `helm template` as release `vault`, by default in the profile's namespace. */
export function template({
  family = 'helm 4',
  profiles = [],
  values = {},
  apiVersions = ['monitoring.coreos.com/v1'],
  namespace = namespaceOf(profiles),
}: Rendering): Outcome {
  const served = apiVersions.flatMap((version) => ['--api-versions', version]);
  const args = ['template', 'vault', CHART, '-n', namespace, ...served, ...filesOf(profiles)];
  return helm(family, args, values);
}

export function lint({ family = 'helm 4', profiles = [], values = {} }: Rendering): Outcome {
  const args = ['lint', '--strict', CHART, '-n', namespaceOf(profiles), ...filesOf(profiles)];
  return helm(family, args, values);
}

/** Read as Kubernetes reads it, by YAML 1.1. @throws where the chart refuses */
export function render(rendering: Rendering): readonly KubeManifest[] {
  const { ok, stdout, stderr } = template(rendering);
  if (!ok) throw new Error(stderr);
  return parseAllDocuments(stdout, { version: '1.1' })
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0] ?? new Error('no YAML');
      return document.toJS() as KubeManifest | null;
    })
    .filter((manifest) => manifest !== null);
}

export function renderProfile(profile: Profile, values: Values = {}): readonly KubeManifest[] {
  return render({ profiles: [profile], values: merged(THREE_VALUES[profile], values) });
}

/** Maps are merged, anything else is replaced: as Helm does it. */
export function merged(base: Values, over: Values): Values {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = result[key];
    result[key] = isMap(old) && isMap(value) ? merged(old, value) : value;
  }
  return result;
}

export function one(manifests: readonly KubeManifest[], kind: string, name?: string): KubeManifest {
  const found = manifests.filter(
    (m) => m['kind'] === kind && (name === undefined || m['metadata'].name === name),
  );
  if (found.length !== 1) throw new Error(`${found.length} objects are ${kind} ${name ?? ''}`);
  return found[0]!;
}

/** A list inside of an object; empty where it is missing. */
export function listOf(value: unknown): readonly KubeManifest[] {
  return Array.isArray(value) ? (value as readonly KubeManifest[]) : [];
}

export function chartFile(path: string): string {
  return readFileSync(join(CHART, path), 'utf8');
}

function filesOf(profiles: readonly Profile[]): string[] {
  return [...profiles.flatMap((name) => ['-f', join(CHART, `values/${name}.yaml`)]), '-f', '-'];
}

function isMap(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
