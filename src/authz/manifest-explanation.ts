import { grantSet, type SecretOperation } from './grant';
import { dividedGrants, SYSTEM_WORKSPACES, GrantSource, type GrantSourceStatus } from './grant-source';
import { GrantIndex } from './grant-index';
import { type Explanation, GrantsService } from './grants.service';
import { type Manifest, parseManifest } from './manifest';

/** Any one: a manifest names none. */
const USER = 'user';

/** One manifest as the only source of grants, installed for one user, who has no other app. */
class ManifestFile extends GrantSource {
  protected readonly index = new GrantIndex();
  protected override current: GrantSourceStatus = { ready: true, installedApps: 1, problems: [] };

  constructor(path: string, manifest: Manifest, isInConfigMap: boolean) {
    super();
    const { app, grants } = manifest;
    const ofUser = { apps: new Set([app]), reserved: SYSTEM_WORKSPACES };
    const held = isInConfigMap
      ? dividedGrants(grants, app, ofUser, () => false)
      : { grants: grantSet(grants) };
    this.index.put(path, { app, user: USER, ...held }, 0, '', manifest);
  }

  async close(): Promise<void> {}
}

/** What a manifest alone says about one operation; a file that is refused names no app. */
export type ManifestExplanation =
  Omit<Explanation, 'user'> | Pick<Explanation, 'operation' | 'workspace' | 'allowed' | 'statedAt' | 'hints'>;

/**
 * Explains an operation by one manifest, for an app that is not installed anywhere.
 * @param path names the source in the explanation
 * @param isInConfigMap as on Olares 1.12.1 and later, where the chart brings the manifest in a ConfigMap
 */
export function explainByManifest(
  {
    path,
    text,
    isInConfigMap,
  }: { readonly path: string; readonly text: string; readonly isInConfigMap: boolean },
  operation: SecretOperation,
  workspace: string,
): ManifestExplanation {
  const manifest = parseManifest(text);
  if ('refused' in manifest) {
    const hint = { source: path, line: manifest.line, reason: manifest.refused };
    return { operation, workspace, allowed: false, statedAt: [], hints: [hint] };
  }
  const { app } = manifest;
  const grants = new GrantsService(new ManifestFile(path, manifest, isInConfigMap));
  const caller = { app, user: USER, operations: 'any' } as const;
  const { user: _anyUser, ...explanation } = grants.explainOperation(caller, operation, workspace);
  return explanation;
}
