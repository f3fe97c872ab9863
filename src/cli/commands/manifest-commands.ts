import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { type Command, Option } from 'commander';
import { SECRET_OPERATIONS, WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import type { CheckedManifest, ManifestFinding } from '../../authz/manifest-check';
import type { ManifestExplanation } from '../../authz/manifest-explanation';
import { UsageError } from '../../errors/operator-errors';
import { CommandFailure, printable, printableJson, printableLine, readInput, utf8Text } from '../console';

const CONFIG_MAP_OPTION = [
  '--config-map',
  'as on Olares 1.12.1 and later, where the chart brings the manifest in a ConfigMap',
] as const;

interface CheckOptions {
  readonly configMap?: boolean;
  readonly strict?: boolean;
  readonly json?: boolean;
  readonly sarif?: boolean;
}

/** One manifest; the file `-` is standard input. */
type CheckedFile = CheckedManifest & { readonly file: string };

export function addCheckManifestCommand(program: Command): void {
  program
    .command('check-manifest')
    .summary('say which secrets a manifest grants, and what is wrong in it')
    .description(
      'Says which grants each OlaresManifest.yaml states, and what is wrong in it, by file:line:column. It is read by the ' +
        'parser of the service: what is refused here is refused there. A folder stands for each OlaresManifest.yaml below ' +
        'it, those of translations (i18n) left out, or else for the *.yaml in it; - is standard input.',
    )
    .argument('<file...>', 'manifests, as written or as rendered, or folders of them')
    .option(...CONFIG_MAP_OPTION)
    .option('--strict', 'warnings count as errors')
    .option('--json', 'print what was found as JSON')
    .addOption(new Option('--sarif', 'print it as SARIF 2.1.0, for code hosts').conflicts('json'))
    .addHelpText('after', '\nThe exit code is 1 where there is an error.')
    .action(checkManifests);
}

async function checkManifests(
  paths: readonly string[],
  { configMap: isInConfigMap = false, strict = false, json = false, sarif = false }: CheckOptions,
  command: Command,
): Promise<void> {
  const { checkManifest, refusedAt } = await import('../../authz/manifest-check.js');
  const check = async (file: string): Promise<CheckedFile> => {
    const read = await readManifestFile(file);
    if ('reason' in read) return { file, grants: [], findings: [refusedAt(read.reason)] };
    const checked = checkManifest(read.text, isInConfigMap);
    const needsConfigMap = isInConfigMap && checked.grants.length > 0 && file !== '-';
    const found = needsConfigMap ? await configMapFindings(dirname(file)) : [];
    return { file, ...checked, findings: [...found, ...checked.findings] };
  };
  const files: CheckedFile[] = [];
  const names = paths.flatMap(manifestsAt);
  for (let at = 0; at < names.length; at += READ_AT_ONCE)
    files.push(...(await Promise.all(names.slice(at, at + READ_AT_ONCE).map(check))));
  const counts = countsOf(files);
  process.exitCode = counts.errors > 0 || (strict && counts.warnings > 0) ? 1 : 0;
  if (sarif) {
    const { sarifOf } = await import('../files/manifest-sarif.js');
    print(printableJson(sarifOf(files, command.parent?.version() ?? ''), 2));
  } else if (json) print(printableJson({ ...counts, files }, 2));
  else {
    print(files.flatMap(linesFor).map(printableLine).join('\n'));
    const counted = Object.entries(counts).map(([things, count]) =>
      count === 1 ? `1 ${things.slice(0, -1)}` : `${count} ${things}`,
    );
    process.stderr.write(`${counted.join(', ')}.\n`);
  }
}

/** While some are read, others are parsed. */
const READ_AT_ONCE = 64;

const MANIFEST_NAME = 'OlaresManifest.yaml';
/** Folders in which no app has its manifest: translations have its name, and nobody reads them. */
const UNREAD_FOLDER = /^(i18n|node_modules|\..+)$/;

/** Returns the manifests that a path stands for: itself where it is no folder. */
function manifestsAt(path: string): readonly string[] {
  if (path === '-' || statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [path];
  const isRead = (file: string): boolean =>
    basename(file) === MANIFEST_NAME &&
    !relative(path, file)
      .split(sep)
      .some((part) => UNREAD_FOLDER.test(part));
  const below = filesBelow(path).filter(isRead);
  const others = readdirSync(path).filter((file) => file.endsWith('.yaml'));
  const found = below.length > 0 ? below : others.map((file) => join(path, file));
  if (found.length === 0) throw new UsageError(`${path} has no ${MANIFEST_NAME} in it, and no other *.yaml.`);
  return [...found].sort();
}

/**
 * Returns the paths of what is no folder. Links to folders are not followed: with two that lead upwards there would be no end.
 * Node's own `recursive` does follow them from version 24 on.
 */
function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** Reads what the service would read, and says why it would not in its words. */
async function readManifestFile(
  file: string,
): Promise<{ readonly text: string } | { readonly reason: string }> {
  const { MANIFEST } = await import('../../grant-sources/directory/app-folder.js');
  const { readSmallFile } = await import('../../reloadable/reloadable.js');
  if (file === '-') {
    const text = utf8Text(await readInput(file, MANIFEST.maxBytes));
    return text === undefined ? { reason: 'not UTF-8 text' } : { text };
  }
  const read = await readSmallFile(file, MANIFEST.maxBytes);
  if (read.kind === 'missing') throw new CommandFailure(3, `${file} is not there.`);
  return read;
}

const MANIFEST_LABEL = 'secrets.olares.com/manifest';
/** Helm takes no larger chart. */
const MAX_TEMPLATE_BYTES = 1024 * 1024;

/** Returns what is missing in the templates of the chart that a manifest is of. They are no YAML, so that they are searched as text. */
async function configMapFindings(chart: string): Promise<readonly ManifestFinding[]> {
  const { finding, FILE_BEGIN } = await import('../../authz/manifest-check.js');
  const folder = join(chart, 'templates');
  const { readSmallFile } = await import('../../reloadable/reloadable.js');
  const labels: string[] = [];
  for (const file of existsSync(folder) ? filesBelow(folder) : []) {
    const read = /\.(ya?ml|tpl)$/.test(file) ? await readSmallFile(file, MAX_TEMPLATE_BYTES) : undefined;
    if (read?.kind !== 'text') continue;
    const stated = read.text.matchAll(/^[^#\n]*secrets\.olares\.com\/manifest["']?\s*:\s*(\S*)/gm);
    labels.push(...[...stated].map(([, value = '']) => value));
  }
  if (labels.some((value) => /^["']true["']/.test(value))) return [];
  const problem =
    labels.length === 0
      ? `no template of the chart makes a ConfigMap with the label ${MANIFEST_LABEL}: "true", without which the manifest grants nothing`
      : `the label ${MANIFEST_LABEL} must be the text "true", in quotes`;
  return [finding('no-config-map', FILE_BEGIN, problem)];
}

function countsOf(files: readonly CheckedFile[]) {
  const found = files.flatMap(({ findings }) => findings.map(({ severity }) => severity));
  return {
    manifests: files.length,
    grants: files.reduce((sum, { grants }) => sum + grants.length, 0),
    errors: found.filter((severity) => severity === 'error').length,
    warnings: found.filter((severity) => severity === 'warning').length,
  };
}

function linesFor({ file, app, grants, findings }: CheckedFile): readonly string[] {
  const name = file === '-' ? 'stdin' : file;
  const operations = new Map<string, Set<string>>();
  for (const { operation, workspace } of grants)
    operations.set(workspace, (operations.get(workspace) ?? new Set<string>()).add(operation));
  const stated = [...operations].map(([on, which]) => `${name}: ${app} on ${on}: ${[...which].join(', ')}`);
  const none = app === undefined || stated.length > 0 ? [] : [`${name}: ${app} states no grants of secrets`];
  return [
    ...stated,
    ...none,
    ...findings.flatMap(({ line, column, severity, message, fix }) => [
      `${name}:${line}:${column}: ${severity}: ${message}`,
      ...(fix === undefined ? [] : [`    write: ${fix}`]),
    ]),
  ];
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

interface ExplainOptions {
  readonly manifest: string;
  readonly op: string;
  readonly workspace: string;
  readonly configMap?: boolean;
  readonly json?: boolean;
}

export function addExplainCommand(program: Command): void {
  program
    .command('explain')
    .summary('say whether a manifest grants an operation, and by which line')
    .description(
      "Says whether an app's manifest grants an operation on a workspace, by which line, or what it would need. No service is asked.",
    )
    .requiredOption('--manifest <file>', 'OlaresManifest.yaml, as written or as rendered')
    .requiredOption('--op <operation>', `one of ${SECRET_OPERATIONS.join(', ')}`)
    .requiredOption('--workspace <name>', 'the workspace of the operation')
    .option(...CONFIG_MAP_OPTION)
    .option('--json', 'print the explanation as POST /explain answers it')
    .addHelpText('after', '\nThe exit code is 0 where it is granted, 1 where it is not.')
    .action(explain);
}

async function explain({ manifest: path, op, workspace, ...options }: ExplainOptions): Promise<void> {
  const operation = SECRET_OPERATIONS.find((one) => one === op);
  if (operation === undefined) throw new UsageError(`--op must be one of ${SECRET_OPERATIONS.join(', ')}.`);
  if (!WORKSPACE_NAME.test(workspace)) throw new UsageError(`--workspace ${WORKSPACE_RULE}.`);
  const { MANIFEST } = await import('../../grant-sources/directory/app-folder.js');
  const text = utf8Text(await readInput(path, MANIFEST.maxBytes));
  if (text === undefined) throw new CommandFailure(3, `${path} is not UTF-8 text.`);
  const { explainByManifest } = await import('../../authz/manifest-explanation.js');
  const isInConfigMap = options.configMap === true;
  const explanation = explainByManifest({ path, text, isInConfigMap }, operation, workspace);
  print(options.json === true ? printableJson(explanation) : printable(textFor(explanation)));
  process.exitCode = explanation.allowed ? 0 : 1;
}

function textFor(explanation: ManifestExplanation): string {
  const { allowed, statedAt, hints = [] } = explanation;
  const reasons = hints.map(({ source, line, reason }) => `${source}:${line ?? '?'}: ${reason}`);
  if (!('message' in explanation)) return `REFUSED  ${reasons.join('\n')}\nThe manifest grants nothing.`;
  const places = statedAt.map(({ source, line }) => `  stated at ${source}:${line ?? '?'}`);
  const { message, yaml } = explanation;
  const block = yaml === undefined ? [] : ['The manifest would need:', '', yaml];
  return [
    `${allowed ? 'ALLOWED' : 'DENIED'}  ${message}`,
    ...places,
    ...reasons.map((reason) => `  ${reason}`),
    ...block,
  ].join('\n');
}
