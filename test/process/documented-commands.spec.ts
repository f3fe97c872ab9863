import { execFile, spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { tool } from '../helm/helm-tools';
import { eventually } from '../support/eventually';
import { withAdministration } from '../support/fake-infisical/fake-administration';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';
import { httpCall } from '../support/http-call';
import { manifestText } from '../support/manifest-config-map';

const ROOT = resolve(__dirname, '../..');
// Before any test begins: a fetch over a slow network would count as the first test's own time.
const HELM = tool('helm 4', 'helm');

/** Whose commands are run as a whole, by test/docs/runbook.spec.ts and tutorial.spec.ts; those of a translation are its original's. */
const RUN_ELSEWHERE = /^docs\/(runbook|tutorial)\.md$|\.zh-CN\.md$/;
const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  ...pagesIn('docs'),
  ...pagesIn('helm'),
  ...pagesIn('examples'),
].filter((page) => !RUN_ELSEWHERE.test(page));

function pagesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`)
    .sort();
}

interface Command {
  readonly page: string;
  readonly text: string;
  /** What the page says that it prints; empty where it says nothing. */
  readonly prints: string;
}

interface Block {
  readonly page: string;
  readonly language: string;
  readonly text: string;
}

const blocks: readonly Block[] = PAGES.flatMap((page) =>
  [...textOf(page).matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].map(([, language = '', text = '']) => ({
    page,
    language,
    text,
  })),
);
const commands: readonly Command[] = [...blocks.filter(({ language }) => language === 'sh').flatMap(commandsIn), ...PAGES.flatMap(inlineIn)]; // prettier-ignore

function textOf(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

/** One command may take several lines: within quotes, after a backslash or a pipe, or after an `export` that is for the next. */
function commandsIn({ page, text }: Block): Command[] {
  const found: { page: string; text: string; prints: string }[] = [];
  let open = '';
  for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
    const last = found.at(-1);
    if (open === '' && line.startsWith('#')) {
      if (last !== undefined) last.prints += `${line.slice(1).trim()}\n`;
      continue;
    }
    open += `${open === '' ? '' : '\n'}${line}`;
    const isOpen =
      (open.match(/'/g) ?? []).length % 2 === 1 || /[\\|]$/.test(open) || /^export .*$/.test(open);
    if (isOpen) continue;
    found.push({ page, text: open.replace(/ {2,}#.*$/, ''), prints: '' });
    open = '';
  }
  return found;
}

/** Inside of a sentence: what is a command with arguments. */
function inlineIn(page: string): Command[] {
  const sentences = textOf(page).replace(/^ *```[\s\S]*?^ *```$/gm, '');
  return [
    ...sentences.matchAll(/`((?:npm|npx|node|kubectl|helm|curl|grep|jq|openssl|docker|echo|du|rm) [^`]+)`/g),
  ].map(([, text = '']) => ({ page, text: text.replace(/\s+/g, ' '), prints: '' }));
}

/** In the folder of the tests, which looks like a checkout. What it prints. */
type Run = (command: Command) => Promise<string>;
/** How a command is held to what is there: run here, run by another test, or, with the reason, not run. */
type Rule = { readonly like: RegExp; readonly page?: string } & (
  { readonly run: Run; readonly shows: RegExp } | { readonly by: string } | { readonly notHere: string }
);

const NO_REGISTRY = 'it installs from the registry, and is what brought these very tests here';
const ITSELF = 'it is what runs this test';
const LONG = 'it takes minutes, and measures the machine';
const CLUSTER = 'it needs a cluster; `npm run test:helm:cluster` has one';

const RULES: readonly Rule[] = [
  { like: /^npm ci && npm start$/, run: () => started(), shows: /"msg":"listening"/ },
  { like: /^npm ci && npm test$|^npm test( -- <pattern>)?$|^rm -rf node_modules && npm ci$/, notHere: ITSELF },
  { like: /^npm (ci( --omit=dev)?|pack)$/, notHere: NO_REGISTRY },
  { like: /^npx (--prefix <checkout> )?olares-secrets( --help)?$|^node \/app\/dist\/cli\/olares-secrets.js$/, by: 'test/cli/olares-secrets.spec.ts' },
  { like: /^npx olares-secrets run -- /, by: 'test/cli/run.spec.ts' },
  { like: /^printf hello \| npx olares-secrets set greeting$|^npx olares-secrets get greeting$/, by: 'test/cli/secrets.spec.ts' },
  { like: /^npx olares-secrets dev( |$)/, by: 'test/cli/dev.spec.ts' },
  { like: /^kubectl exec deploy\/<release> -- node \/app\/dist\/cli\/olares-secrets.js doctor$/, by: 'test/cli/doctor.spec.ts' },
  { like: /^npx olares-secrets check-manifest /, by: 'test/cli/check-manifest.spec.ts' },
  { like: /^npx olares-secrets (import|export) /, by: 'test/cli/import-export.spec.ts' },
  { like: /^npm start$/, run: () => started(), shows: /"msg":"listening"/ },
  { like: /^curl .*CreateSecret/, run: shell, shows: /^\{"code":200,"message":"","data":""\}$/ },
  { like: /^curl .*RetrieveSecret/, run: shell, shows: /"value":"correct horse"/ },
  { like: /^npm run smoke-test$/, run: shell, shows: /Every answer is as documented/ },
  { like: /^export INFISICAL_URL=.*\nnpm start$/, run: withInfisical, shows: /"msg":"listening"/ },
  { like: /^helm install /, run: rendered, shows: /^kind: (Deployment|StatefulSet)$/m },
  { like: /^\s*kubectl /, page: 'helm/README.md', by: 'test/helm/release.spec.ts' },
  { like: /^kubectl (logs <pod> -c write-secrets|rollout restart)$/, page: 'docs/interoperation.md', notHere: CLUSTER },
  { like: /^helm (template|test|list|upgrade|rollback|uninstall)( |$)/, notHere: CLUSTER },
  { like: /^DATA_DIR=… node dist\/cli\/inspect-embedded-store.js$/, run: onTheStore, shows: /is whole/ },
  { like: /^DATA_DIR=… .* node dist\/cli\/rotate-master-key.js$/, run: onTheStore, shows: /\w/ },
  { like: /^npm run (rotate-master-key|inspect-embedded-store)$/, run: onTheStore, shows: /\w/ },
  { like: /^docker build /, notHere: 'it needs a container engine and its bases; test/image holds the recipe' },
  { like: /^node -e 'const \{ createHash \}/, run: shell, shows: /^osp-\w{32}$/ },
  { like: /^INFISICAL_ADMIN_TOKEN_FILE=\S+ npm run infisical:setup /, run: setUp, shows: /The identity can do all that the service needs/ },
  { like: /^INFISICAL_ADMIN_(CLIENT_ID|EMAIL)=.* npm run infisical:setup -- /, by: 'test/process/infisical-setup.spec.ts' },
  { like: /^kubectl apply -n os-protected -f secret.yaml && rm secret.yaml$/, run: shell, shows: /^secret\/\S+ created$/ },
  { like: /^echo '<what follows osp:v1:b64:>' \| base64 -d$/, run: shell, shows: /^ bytes$/ },
  { like: /^(node dist\/cli\/migrate-from-tapr.js|psql) |^kubectl get users.iam.kubesphere.io -o json( > users.json)?$/, by: 'test/process/migrate-from-tapr.spec.ts' },
  { like: /^npm run infisical:setup$|^node dist\/cli\/infisical-setup.js$/, run: setUp, shows: /The identity can do all that the service needs/ },
  { like: /^npm run test:fuzz$/, notHere: 'it takes an hour; test/fuzz/requests.spec.ts is its short form' },
  { like: /^npm run test:infisical$/, by: 'test/process/infisical-suite.spec.ts' },
  { like: /^node dist\/cli\/unregister.js$/, by: 'test/process/unregister.spec.ts' },
  { like: /^npm run request-path$/, notHere: 'it starts the service under the debugger' },
  { like: /npm run audit -- (verify|grep|tail|report)/, by: 'test/process/audit.spec.ts' },
  { like: /^npm run explain( -- …)?$/, by: 'test/cli/explain.spec.ts' },
  { like: /^npm run explain -- --manifest/, run: onAManifest, shows: /^DENIED +App notes .*\n[^]*- ListSecret\?workspace=notes-desk$/m },
  { like: /^npm run test:timing$/, notHere: LONG },
  { like: /^npm run sbom$/, by: 'test/image/sbom.spec.ts' },
  { like: /^npm run licences$/, by: 'test/image/packages.spec.ts' },
  { like: /^npm run (bench|attack|measure:(grants|roles)|assurance|test:(nodes|fuzz|model|crash|soak|mutation|timing|audit-million|updates))( |$)/, notHere: LONG },
  { like: /^du -sm node_modules$/, notHere: 'it measures what the registry gave' },
  { like: /^npm run (format|docs)$/, notHere: 'it changes files of the checkout' },
]; // prettier-ignore

const dir = mkdtempSync(join(tmpdir(), 'documented-'));
const running: { readonly child: ChildProcess; output: string }[] = [];
let fake: FakeInfisical;
let adminToken: string;

/** npm as far as it runs scripts, without what comes before them; helm that shows what it would install; kubectl that takes a file. */
const TOOLS: Readonly<Record<string, string>> = {
  npm: `#!${process.execPath}
const [command, ...rest] = process.argv.slice(2);
const [name, ...args] = command === 'run' ? rest : [command];
const script = JSON.parse(require('node:fs').readFileSync('package.json', 'utf8')).scripts[name];
if (command !== 'ci') process.exit(require('node:child_process').spawnSync('sh', ['-c', 'exec ' + script + ' "$@"', 'sh', ...args.filter((one) => one !== '--')], { stdio: 'inherit' }).status);
`,
  helm: `#!/bin/sh
[ "$1" = install ] && shift && set -- template "$@"
exec '${HELM}' "$@"
`,
  kubectl: `#!/bin/sh
[ "$*" = "apply -n os-protected -f secret.yaml" ] || exit 1
echo "secret/$(grep -oE 'name: *\\S+' secret.yaml | head -1 | cut -d: -f2 | tr -d ' ') created"
`,
};

function environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [path, home] = [`${join(dir, 'bin')}:${process.env['PATH'] ?? ''}`, join(dir, 'home')];
  return { PATH: path, HOME: home, PORT: '0', LOG_FORMAT: 'json', ...more };
}

async function inShell(line: string, more?: Readonly<Record<string, string>>): Promise<string> {
  const options = { cwd: dir, env: environment(more), timeout: 25_000 };
  return (await promisify(execFile)('sh', ['-c', line], options)).stdout;
}

/** Runs as a process of its own until the tests are over. */
async function inBackground(line: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
  const child = spawn('sh', ['-c', line], { cwd: dir, env: environment(more), detached: true });
  const one = { child, output: '' };
  running.push(one);
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (one.output += chunk.toString()));
  await eventually(() => {
    // What makes the credentials for its reader says so last.
    if (!one.output.includes('Ctrl-C stops the service.'))
      throw new Error(`It does not listen: ${one.output}`);
  }, 20_000);
  return one.output;
}

const urlIn = (output: string) => `http://127.0.0.1:${/"port":(\d+)[^\n]*"msg":"listening"|"msg":"listening"[^\n]*"port":(\d+)/.exec(output)?.slice(1).find(Boolean)}`; // prettier-ignore

/** As README.md begins: once for all that is asked of it. */
let start: Promise<string> | undefined;
async function started(): Promise<string> {
  return (start ??= inBackground('npm ci && npm start'));
}

async function stop(): Promise<void> {
  for (const { child } of running.splice(0)) {
    const ended = new Promise((end) => child.once('close', end));
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
    else continue;
    await ended;
  }
  start = undefined;
}

async function shell({ text }: Command): Promise<string> {
  const url = urlIn(await started());
  const line = text
    .replaceAll('http://127.0.0.1:8080', url)
    .replace('<what follows osp:v1:b64:>', 'IGJ5dGVzIA==');
  return (await inShell(line, { SMOKE_TEST_URL: url })).trimEnd();
}

async function withInfisical({ text }: Command): Promise<string> {
  const secret = join(dir, 'client-secret');
  writeFileSync(secret, fake.identity.clientSecret, { mode: 0o600 });
  const line = text
    .replace('https://infisical.example', fake.url)
    .replace('CLIENT_ID=…', `CLIENT_ID=${fake.identity.clientId}`)
    .replace('/run/secrets/infisical', secret);
  const output = await inBackground(line, { DATA_DIR: join(dir, 'data-infisical') });
  expect((await httpCall(`${urlIn(output)}/readyz`, { method: 'GET' })).status).toBe(200);
  return output;
}

async function rendered({ text }: Command): Promise<string> {
  return inShell(text.replaceAll('https://…', 'https://infisical.example').replaceAll('=…', '=given'));
}

/** A store that the service made, and no longer has open. */
async function onTheStore({ text }: Command): Promise<string> {
  await started();
  await stop();
  const development = join(dir, 'data/development');
  const [old, fresh] = [join(development, 'master-key.key'), join(dir, 'new-key')];
  writeFileSync(fresh, 'another key of thirty-two bytes or more', { mode: 0o600 });
  const line = text
    .replace('DATA_DIR=…', `DATA_DIR=${join(dir, 'data')}`)
    .replace('<old key>', old)
    .replace('<new key>', fresh);
  const given = { DATA_DIR: join(dir, 'data'), MASTER_KEY_FILE: old, NEW_MASTER_KEY_FILE: fresh };
  const said = await inShell(line, given);
  // The next one finds the store as the page's reader does.
  rmSync(join(dir, 'data'), { recursive: true });
  return said;
}

/** The manifest grants something else, and the command says so by its exit code too. */
async function onAManifest({ text }: Command): Promise<string> {
  writeFileSync(join(dir, 'OlaresManifest.yaml'), manifestText('notes', ['ListSecret']));
  return (await inShell(`${text} || [ $? -eq 1 ]`)).trimEnd();
}

async function setUp({ text }: Command): Promise<string> {
  writeFileSync(join(dir, 'admin-token'), adminToken, { mode: 0o600 });
  rmSync(join(dir, 'secret.yaml'), { force: true });
  const bare = /--url/.test(text) ? text : `${text} ${text.startsWith('npm') ? '-- ' : ''}--new-secret --secret-manifest secret.yaml`; // prettier-ignore
  const line = bare.replace('https://infisical.example', fake.url);
  const said = await inShell(line, { INFISICAL_URL: fake.url, INFISICAL_ADMIN_TOKEN_FILE: 'admin-token' });
  expect(parse(readFileSync(join(dir, 'secret.yaml'), 'utf8'))).toMatchObject({ kind: 'Secret' });
  return said;
}

function ruleFor({ page, text }: Command): Rule | undefined {
  return RULES.find((rule) => rule.like.test(text) && (rule.page === undefined || rule.page === page));
}

describe('the commands of the documents', () => {
  beforeAll(async () => {
    for (const name of ['dist', 'helm', 'node_modules', 'package.json'])
      symlinkSync(join(ROOT, name), join(dir, name));
    mkdirSync(join(dir, 'bin'));
    mkdirSync(join(dir, 'home'));
    for (const [name, text] of Object.entries(TOOLS)) {
      writeFileSync(join(dir, 'bin', name), text);
      chmodSync(join(dir, 'bin', name), 0o755);
    }
    fake = await FakeInfisical.start({ apiVersion: 'v4' });
    ({ adminToken } = withAdministration(fake, 'v4'));
  });
  afterAll(async () => {
    await stop();
    await fake.close();
    rmSync(dir, { recursive: true });
  });

  it('are in blocks that say that they are commands', () => {
    expect(blocks.filter(({ language }) => language === 'sh').length).toBeGreaterThan(10);
    const others = blocks.filter(
      ({ language }) => !['sh', 'yaml', 'json', 'go', 'mermaid', ''].includes(language),
    );
    expect(others).toEqual([]);
    const unsaid = blocks.filter(
      ({ language, text }) =>
        language === '' && /^\s*(\$ |#!|(npm|npx|curl|kubectl|helm|docker|node) )/m.test(text),
    );
    expect(unsaid).toEqual([]);
  });

  it('are each run here, run by another test, or excused with a reason', () => {
    const unheld = commands.filter((command) => ruleFor(command) === undefined);
    expect(unheld.map(({ page, text }) => `${page}: ${text}`)).toEqual([]);
    const unused = RULES.filter((rule) => !commands.some((command) => ruleFor(command) === rule));
    expect(unused.map(({ like }) => like.source)).toEqual([]);
    const elsewhere = RULES.flatMap((rule) => ('by' in rule ? [rule.by] : []));
    expect(elsewhere.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  it('name scripts that there are', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const named = commands.flatMap(({ text }) =>
      [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  const toRun = commands.filter((command) => {
    const rule = ruleFor(command);
    return rule !== undefined && 'run' in rule;
  });
  const once = toRun.filter(({ text }, at) => toRun.findIndex((other) => other.text === text) === at);

  it.each(once.map((command) => [command.page, command.text, command] as const))(
    'of %s: %s',
    async (_page, _text, command) => {
      const rule = ruleFor(command);
      if (rule === undefined || !('run' in rule)) throw new Error('It has no rule.');
      const printed = await rule.run(command);
      expect(printed).toMatch(rule.shows);
      if (command.prints !== '') expect(printed).toBe(command.prints.trimEnd());
    },
  );
});
