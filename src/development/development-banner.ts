import { join } from 'node:path';
import { type InstalledApp, type SecretOperation, SECRET_OPERATIONS } from '../authz/grant';
import { dividedGrants, SYSTEM_WORKSPACES, type GrantSource } from '../authz/grant-source';
import { envFileIn, headersFileIn, mainWorkspace } from './development-app';
import { operationsByWorkspace } from './example-caller';

/** By its path: in another folder npx takes what the registry has under the name, and with a pipe as its input it does not even ask. */
const CLI = `node ${quoted(join(__dirname, '../cli/olares-secrets.js'))}`;

const SET = { command: `printf hello | ${CLI} set greeting`, body: { name: 'greeting', value: 'hello' } };
/** What to try, in the order in which it makes sense: the command, and the body of the call. */
const EXAMPLES = {
  CreateSecret: SET,
  UpdateSecret: SET,
  RetrieveSecret: { command: `${CLI} get greeting`, body: { name: 'greeting' } },
  ListSecret: { command: `${CLI} list`, body: {} },
  DeleteSecret: { command: `${CLI} delete greeting`, body: { name: 'greeting' } },
} as const satisfies Record<SecretOperation, object>;

/** What shows most without changing anything comes first. */
const CURL_PREFERENCE = [
  'ListSecret',
  'RetrieveSecret',
  'CreateSecret',
  'UpdateSecret',
  'DeleteSecret',
] as const;

/**
 * Returns what a developer needs once the service listens, without a key or a token.
 * @param options `manifest` is an absolute path
 */
export function developmentBanner(
  app: InstalledApp,
  source: GrantSource,
  options: {
    readonly url: string;
    readonly manifest: string;
    readonly dataDir: string;
    readonly isFresh: boolean;
  },
): string {
  const { url, manifest, dataDir, isFresh } = options;
  return `
The gateway is at ${url}, with app ${app.app} installed for user ${app.user}.

  manifest   ${manifest}
  grants     ${grantLines(app).join('\n             ')}
  API page   ${url}/docs
  data       ${dataDir}${isFresh ? ' (an empty store)' : ''}
${manifestNotes(app, source, manifest)
  .map((note) => `\n${note}\n`)
  .join('')}
In another shell (the file keeps the credentials of this laptop fresh; its user token is valid for 24 hours):

  source ${quoted(envFileIn(dataDir))}
${examples(app, headersFileIn(dataDir))
  .map((line) => `  ${line}\n`)
  .join('')}
In your app, with the client of client/README.md:

  const { env } = process;
  const vault = new SecretVault({ url: env.OLARES_SECRETS_URL, workspace: env.OLARES_SECRETS_WORKSPACE,
    appKey: env.OLARES_SECRETS_APP_KEY, appSecret: env.OLARES_SECRETS_APP_SECRET, userToken: env.OLARES_SECRETS_USER_TOKEN });

The manifest is read again when it changes. Ctrl-C stops the gateway.

`;
}

function grantLines(app: InstalledApp): readonly string[] {
  const rows = [...operationsByWorkspace(app)];
  if (rows.length === 0)
    return ['none: every operation is refused with 403; docs/grants.md says what the manifest needs'];
  const width = Math.max(...rows.map(([workspace]) => workspace.length));
  return rows.map(([workspace, operations]) => `${workspace.padEnd(width)}  ${operations.join(' ')}`);
}

/** Returns what in the manifest grants nothing, and what a later Olares would not grant at once, one sentence each. */
function manifestNotes(app: InstalledApp, source: GrantSource, manifest: string): readonly string[] {
  const claims = source.requireIndex().claimsOf(app);
  const warnings = claims.flatMap(({ statements }) =>
    (statements.warnings ?? []).map(({ line, reason }) => `${manifest}:${line ?? 1}: ${reason}`),
  );
  const stated = [...app.grants].flatMap((key) => {
    const [name, workspace = ''] = key.split('?workspace=');
    const operation = SECRET_OPERATIONS.find((one) => one === name);
    return operation === undefined ? [] : [{ operation, workspace }];
  });
  const ofUser = { apps: new Set([app.app]), reserved: SYSTEM_WORKSPACES };
  const { pending } = dividedGrants(stated, app.app, ofUser, () => false);
  if (pending === undefined) return warnings;
  const rule =
    "From Olares 1.12.1 on the user must approve this first, since the workspace is not the app's own";
  return [...warnings, `${rule}: ${[...pending].join(', ')}.`];
}

function examples(app: InstalledApp, headersFile: string): readonly string[] {
  const workspace = mainWorkspace(app);
  const held = operationsByWorkspace(app).get(workspace) ?? [];
  const commands = Object.entries(EXAMPLES)
    .filter(([operation]) => held.includes(operation) && operation !== 'DeleteSecret')
    .map(([, { command }]) => command);
  const operation = CURL_PREFERENCE.find((one) => held.includes(one)) ?? 'ListSecret';
  const body = JSON.stringify(EXAMPLES[operation].body);
  const curl = `curl -sS -X POST "$OLARES_SECRETS_URL/${operation}?workspace=${workspace}" -H @${quoted(headersFile)} -H 'Content-Type: application/json' -d '${body}'`;
  return [...new Set(commands), curl];
}

/** Returns a path for a shell, in quotes where it needs them. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

/** How often the state of the source is compared with the one that was told. */
const COMPARED_EVERY_MS = 200;

interface ToldManifest {
  readonly source: GrantSource;
  /** Absolute path. */
  readonly manifest: string;
  /** The app as it is served now; undefined where it is not. */
  readonly appNow: () => InstalledApp | undefined;
}

/** Prints which grants come and go, and what is wrong with the manifest, each once, as long as the process runs. */
export function tellManifestChanges(
  manifest: ToldManifest,
  print: (text: string) => void,
  /** Called after each change of the grants of an app that is served, and awaited before the change is told: what it says is then so. */
  onChange: () => Promise<void>,
): void {
  let told = stateOf(manifest);
  let telling = Promise.resolve();
  setInterval(() => {
    const now = stateOf(manifest, told);
    const { text, hasChanged } = changeBetween(told, now);
    told = now;
    telling = telling.then(async () => {
      if (hasChanged && manifest.appNow() !== undefined) await onChange();
      if (text !== '') print(text);
    });
  }, COMPARED_EVERY_MS).unref();
}

interface ManifestState {
  readonly grants: ReadonlySet<string>;
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}

/** @param before whose notes are kept while there is no app */
function stateOf({ source, manifest, appNow }: ToldManifest, before?: ManifestState): ManifestState {
  const app = appNow();
  return {
    grants: app?.grants ?? new Set(),
    problems: source.status().problems.map(({ source: name, line, reason }) => {
      const file = name.endsWith('/OlaresManifest.yaml') ? manifest : name;
      return `${file}${line === undefined ? '' : `:${line}`}: ${reason}`;
    }),
    notes: app === undefined ? (before?.notes ?? []) : manifestNotes(app, source, manifest),
  };
}

function changeBetween(before: ManifestState, now: ManifestState): { text: string; hasChanged: boolean } {
  const came = newIn([...now.grants], [...before.grants]);
  const went = newIn([...before.grants], [...now.grants]);
  const problems = newIn(now.problems, before.problems);
  const hasChanged = came.length + went.length > 0;
  const lines = [...problems];
  if (hasChanged) lines.push(`The grants have changed; ${now.grants.size} are in force.`);
  else if (problems.length > 0)
    lines.push(`The ${now.grants.size} earlier grants stay in force, as in a cluster.`);
  else if (before.problems.length > 0 && now.problems.length === 0)
    lines.push('The manifest is valid again and states the same grants.');
  lines.push(...came.map((key) => `  + ${key}`), ...went.map((key) => `  - ${key}`));
  return { text: [...lines, ...newIn(now.notes, before.notes)].join('\n'), hasChanged };
}

function newIn(now: readonly string[], before: readonly string[]): readonly string[] {
  return now.filter((one) => !before.includes(one));
}
