import type { Command } from 'commander';
import { SECRET_OPERATIONS, WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import type { ManifestExplanation } from '../../authz/manifest-explanation';
import { CommandFailure, printable, printableJson, WrongUse } from '../command-errors';

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
    .option(
      '--config-map',
      'as on Olares 1.12.1 and later, where the chart brings the manifest in a ConfigMap',
    )
    .option('--json', 'print the explanation as POST /explain answers it')
    .addHelpText('after', '\nThe exit code is 0 where it is granted, 1 where it is not.')
    .action(explain);
}

async function explain({ manifest: path, op, workspace, ...options }: ExplainOptions): Promise<void> {
  const operation = SECRET_OPERATIONS.find((one) => one === op);
  if (operation === undefined) throw new WrongUse(`--op must be one of ${SECRET_OPERATIONS.join(', ')}.`);
  if (!WORKSPACE_NAME.test(workspace)) throw new WrongUse(`--workspace ${WORKSPACE_RULE}.`);
  const { MANIFEST } = await import('../../grant-sources/directory/app-folder.js');
  const { readInput, utf8Text } = await import('../read-input.js');
  const text = utf8Text(await readInput(path, MANIFEST.maxBytes));
  if (text === undefined) throw new CommandFailure(3, `${path} is not UTF-8 text.`);
  const { explainByManifest } = await import('../../authz/manifest-explanation.js');
  const isInConfigMap = options.configMap === true;
  const explanation = explainByManifest({ path, text, isInConfigMap }, operation, workspace);
  const shown = options.json === true ? printableJson(explanation) : printable(textFor(explanation));
  process.stdout.write(`${shown}\n`);
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
