import '../bootstrap/inspector-signal';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Explanation } from '../authz/explanation';
import { grantSet, SECRET_OPERATIONS, WORKSPACE_NAME, WORKSPACE_RULE } from '../authz/grant';
import { dividedGrants, SYSTEM_WORKSPACES } from '../authz/grant-approvals';
import { GrantIndex } from '../authz/grant-index';
import { GrantSource, type GrantSourceStatus } from '../authz/grant-source';
import { GrantsService } from '../authz/grants.service';
import { type Manifest, parseManifest } from '../authz/manifest';

const USAGE = `Says whether an app's manifest grants an operation on a workspace, by which line, or what it would need.
  --manifest FILE     OlaresManifest.yaml, as written or as rendered
  --op OPERATION      one of ${SECRET_OPERATIONS.join(', ')}
  --workspace NAME
  --config-map        as on Olares 1.12.1 and later, where the chart brings the manifest in a ConfigMap
  --json              prints the explanation as POST /explain answers it
The exit code is 0 where it is granted, 1 where it is not, 2 for wrong use.
`;

/** Any one: a manifest names none. */
const USER = 'user';

/** Wrong use, with a sentence that is safe to print. */
class ExplainCommandUnusable extends Error {}

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

/** The command `node dist/cli/explain.js`. */
function main(): number {
  const { manifest: path, op, workspace, json, 'config-map': isInConfigMap } = asked();
  const operation = SECRET_OPERATIONS.find((one) => one === op);
  if (operation === undefined)
    throw new ExplainCommandUnusable(`--op must be one of ${SECRET_OPERATIONS.join(', ')}\n`);
  if (!WORKSPACE_NAME.test(workspace)) throw new ExplainCommandUnusable(`--workspace ${WORKSPACE_RULE}\n`);
  const manifest = parseManifest(textOf(path));
  if ('refused' in manifest) {
    const hint = { source: path, line: manifest.line, reason: manifest.refused };
    if (json) print(JSON.stringify({ operation, workspace, allowed: false, statedAt: [], hints: [hint] }));
    else print(`REFUSED  ${path}:${hint.line}: ${hint.reason}\nThe manifest grants nothing.`);
    return 1;
  }
  const { app } = manifest;
  const grants = new GrantsService(new ManifestFile(path, manifest, isInConfigMap));
  const { user: _anyUser, ...explanation } = grants.explainOperation(
    { app, user: USER, operations: 'any' },
    operation,
    workspace,
  );
  print(json ? JSON.stringify(explanation) : textFor(explanation));
  return explanation.allowed ? 0 : 1;
}

function asked(): { manifest: string; op: string; workspace: string; json: boolean; 'config-map': boolean } {
  const [text, flag] = [{ type: 'string' } as const, { type: 'boolean' } as const];
  const options = { manifest: text, op: text, workspace: text, json: flag, 'config-map': flag };
  try {
    const { values } = parseArgs({ options });
    const { manifest, op, workspace, json = false, 'config-map': isInConfigMap = false } = values;
    if (manifest !== undefined && op !== undefined && workspace !== undefined)
      return { manifest, op, workspace, json, 'config-map': isInConfigMap };
  } catch {
    // The text below says it too.
  }
  throw new ExplainCommandUnusable(USAGE);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    throw new ExplainCommandUnusable(`${path} cannot be read\n`);
  }
}

function textFor({ allowed, message, statedAt, hints = [], yaml }: Omit<Explanation, 'user'>): string {
  const places = statedAt.map(({ source, line }) => `  stated at ${source}:${line ?? '?'}`);
  const reasons = hints.map(({ source, line, reason }) => `  ${source}:${line ?? '?'}: ${reason}`);
  const block = yaml === undefined ? [] : ['The manifest would need:', '', yaml.trimEnd()];
  return [`${allowed ? 'ALLOWED' : 'DENIED'}  ${message}`, ...places, ...reasons, ...block].join('\n');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  process.exitCode = main();
} catch (error: unknown) {
  if (!(error instanceof ExplainCommandUnusable)) throw error;
  process.stderr.write(error.message);
  process.exitCode = 2;
}
