import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type KubeManifest, listOf, one } from './chart';

/** The paths under which files of Secrets, ConfigMaps and tokens stand in the pod that serves. */
export function filePathsOf(manifests: readonly KubeManifest[]): readonly string[] {
  const { spec } = workloadOf(manifests)['spec'].template as { readonly spec: KubeManifest };
  const mounts: readonly KubeManifest[] = spec['containers'][0].volumeMounts;
  return mounts.flatMap(({ name, mountPath }) => {
    const volume = listOf(spec['volumes']).find((candidate) => candidate['name'] === name);
    return listOf(volume?.['projected']?.sources).flatMap(({ secret, configMap, serviceAccountToken }) =>
      serviceAccountToken === undefined
        ? listOf((secret ?? configMap).items).map(({ path }) => `${mountPath}/${path}`)
        : [`${mountPath}/${serviceAccountToken.path}`],
    );
  });
}

export function workloadOf(manifests: readonly KubeManifest[]): KubeManifest {
  return manifests.find(({ kind }) => kind === 'Deployment') ?? one(manifests, 'StatefulSet');
}

export function settingsOf(manifests: readonly KubeManifest[]): Readonly<Record<string, string>> {
  return manifests.find(({ kind, data }) => kind === 'ConfigMap' && 'GRANTS_SOURCE' in data)!['data'];
}

export interface PodRoot {
  /** The settings with the pod's paths moved under the folder. */
  readonly env: Readonly<Record<string, string>>;
  remove(): void;
}

/** A folder with every file that the pod mounts, and nothing else. */
export function podRoot(manifests: readonly KubeManifest[], contentOf: (path: string) => string): PodRoot {
  const folder = mkdtempSync(join(tmpdir(), 'pod-'));
  for (const path of filePathsOf(manifests)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), contentOf(path));
  }
  const env = Object.fromEntries(
    Object.entries(settingsOf(manifests)).map(([name, value]) => [
      name,
      value.startsWith('/') ? join(folder, value) : value,
    ]),
  );
  return { env, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
