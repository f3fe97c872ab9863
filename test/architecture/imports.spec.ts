import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const SRC = join(ROOT, 'src');

const KERNELS = ['errors', 'time', 'logging', 'json', 'concurrency', 'reloadable'];
const STORES = ['stores/cached', 'stores/embedded', 'stores/infisical', 'stores/quota', 'stores/resilience'];

/** Which folders a folder may import from. docs/architecture.md shows the same table. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  time: [],
  logging: [],
  json: [],
  concurrency: ['time'],
  reloadable: ['errors', 'time', 'logging'],
  config: [],
  client: [],
  authn: KERNELS,
  lldap: ['authn', ...KERNELS],
  authz: ['authn', ...KERNELS],
  'grant-sources': ['authz', 'kubernetes', ...KERNELS],
  secrets: ['authz', 'authn', ...KERNELS],
  'stores/embedded': ['secrets', 'user-deprovisioning', ...KERNELS],
  'stores/infisical': ['secrets', 'user-deprovisioning', ...KERNELS],
  'stores/cached': ['secrets', ...KERNELS],
  'stores/quota': ['secrets', ...KERNELS],
  'stores/resilience': ['secrets', ...KERNELS],
  audit: ['secrets', ...KERNELS],
  limits: KERNELS,
  kubernetes: ['authn', ...KERNELS],
  migration: ['stores/infisical', 'secrets', 'authz', ...KERNELS],
  registration: ['kubernetes', 'authz', ...KERNELS],
  redis: ['limits', 'stores/cached', ...KERNELS],
  'user-deprovisioning': ['secrets', 'authn', ...KERNELS],
  http: ['audit', 'secrets', 'authz', 'authn', 'limits', 'user-deprovisioning', ...KERNELS],
  telemetry: [
    'audit',
    'http',
    'redis',
    'limits',
    'kubernetes',
    'secrets',
    'authz',
    'authn',
    ...STORES,
    ...KERNELS,
  ],
  development: ['config', 'authz'],
};

/** The entry points and the modules of Nest, which wire: they import everything, and only they import one another. */
const COMPOSITION = /^src\/(main|bootstrap\/[a-z.-]+|cli\/[a-z./-]+|.*\.module)\.ts$/;

/** Packages that have one home. */
const HOME_OF: Readonly<Record<string, RegExp>> = {
  bcryptjs: /^src\/client\//,
  commander: /^src\/cli\//,
  axios: /^src\/stores\/infisical\/transport\//,
  'class-validator': /^src\/http\/controllers\/request-validation\.ts$/,
  'classic-level': /^src\/stores\/embedded\//,
  bcrypt: /^src\/(authn\/bcrypt-worker\.mjs|development\/example-caller\.ts)$/,
  'prom-client': /^src\/telemetry\//,
  '@opentelemetry/api': /^src\/telemetry\//,
  '@opentelemetry/core': /^src\/telemetry\//,
  '@opentelemetry/exporter-trace-otlp-http': /^src\/telemetry\//,
  '@opentelemetry/resources': /^src\/telemetry\//,
  '@opentelemetry/sdk-trace': /^src\/telemetry\//,
  cockatiel: /^src\/stores\/resilience\//,
  'pino-pretty': /^src\/logging\/pretty-log\.ts$/,
  ioredis: /^src\/redis\//,
  pg: /^src\/migration\/predecessor-inventory\.ts$/,
  jose: /^src\/authn\/tokens\.ts$/,
  'jose/jwt/verify': /^src\/authn\/tokens\.ts$/,
  'jose/jwt/sign': /^src\/(authn\/tokens|development\/example-caller)\.ts$/,
};

interface Import {
  readonly file: string;
  readonly to: string;
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(ts|mjs)$/.test(name))
  .map((name) => `src/${name}`);
const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

const imports: readonly Import[] = files.flatMap((file) =>
  [...textOf(file).matchAll(/(?:from|import\(|require\()\s*'([^']+)'/g)].map(([, to = '']) => ({
    file,
    to: to.startsWith('.')
      ? relative(ROOT, resolve(ROOT, dirname(file), to.replace(/\.js$/, ''))) +
        (to.endsWith('.mjs') ? '' : '.ts')
      : to,
  })),
);
const internal = imports.filter(({ to }) => to.startsWith('src/'));

/** `src/stores/infisical/api/answers.ts` is of `stores/infisical`; a file at the root of `src` is of none. */
function folderOf(path: string): string | undefined {
  const [, first, second] = path.split('/');
  if (path.split('/').length < 3) return undefined;
  return first === 'stores' ? `${first}/${second}` : first;
}

/** Groups of files that import one another in a circle, by Tarjan's algorithm. */
function circles(): readonly (readonly string[])[] {
  const targets = new Map(
    files.map((file) => [file, internal.filter((one) => one.file === file).map(({ to }) => to)]),
  );
  const index = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    lowest.set(file, index.get(file)!);
    stack.push(file);
    for (const to of targets.get(file) ?? []) {
      if (!index.has(to)) visit(to);
      if (stack.includes(to)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(to)!));
    }
    if (lowest.get(file) !== index.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) found.push(circle);
  };
  for (const file of files) if (!index.has(file)) visit(file);
  return found;
}

describe('the architecture', () => {
  it('every import leads to a file that is there', () => {
    expect(internal.filter(({ to }) => !files.includes(to))).toEqual([]);
  });

  it('a folder imports only from the folders that the table allows', () => {
    const forbidden = internal
      .filter(({ file, to }) => !COMPOSITION.test(file) && folderOf(to) !== folderOf(file))
      .filter(({ file, to }) => !(MAY_IMPORT[folderOf(file) ?? ''] ?? []).includes(folderOf(to) ?? ''));
    expect(forbidden).toEqual([]);
  });

  it('only what wires imports what wires', () => {
    const strays = internal.filter(({ file, to }) => COMPOSITION.test(to) && !COMPOSITION.test(file));
    expect(strays).toEqual([]);
  });

  it('every folder is in the table', () => {
    const folders = new Set(files.filter((file) => !COMPOSITION.test(file)).map(folderOf));
    expect([...folders].sort()).toEqual(Object.keys(MAY_IMPORT).sort());
  });

  it('docs/architecture.md shows the same table', () => {
    const rows = [...textOf('docs/architecture.md').matchAll(/^\| `([a-z/-]+)` \|[^|]*\| ([^|]*) \|$/gm)];
    const shown = Object.fromEntries(
      rows.map(([, folder = '', may = '']) => [
        folder,
        may === '–'
          ? []
          : may
              .split(', ')
              .flatMap((one) => (one === 'kernels' ? KERNELS : one === 'stores' ? STORES : [one]))
              .sort(),
      ]),
    );
    expect(shown).toEqual(
      Object.fromEntries(Object.entries(MAY_IMPORT).map(([folder, may]) => [folder, [...may].sort()])),
    );
  });

  it('no files import one another in a circle, type imports counted', () => {
    expect(circles()).toEqual([]);
  });

  it('nothing stands at the root of src but main.ts and app.module.ts', () => {
    expect(files.filter((file) => file.split('/').length === 2).sort()).toEqual([
      'src/app.module.ts',
      'src/main.ts',
    ]);
  });

  it('a folder has at most 16 files', () => {
    const counts = new Map<string, number>();
    for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count > 16)).toEqual([]);
  });

  it('there are at most 240 source files, those of the client and the command line included', () => {
    expect(files.length).toBeLessThanOrEqual(240);
  });

  it('no class, interface or type name is given twice', () => {
    // The client is a package of its own, whose names are for its users.
    const ours = files.filter((file) => folderOf(file) !== 'client');
    const names = ours.flatMap((file) =>
      [...textOf(file).matchAll(/^(?:export )?(?:abstract )?(?:class|interface|type) (\w+)/gm)].map(
        ([, name = '']) => ({ name, file }),
      ),
    );
    const twice = names.filter(({ name, file }) =>
      names.some((one) => one.name === name && one.file !== file),
    );
    expect(twice).toEqual([]);
  });

  it('a package with a home is imported there only', () => {
    const strays = imports.filter(({ file, to }) => HOME_OF[to] !== undefined && !HOME_OF[to].test(file));
    expect(strays).toEqual([]);
  });

  it('the environment is read by the entry points only, and settings.ts gives it its meaning', () => {
    const readers = files.filter((file) => textOf(file).includes('process.env'));
    expect(readers.sort()).toEqual([
      'src/cli/audit.ts',
      'src/cli/commands/dev.ts',
      'src/cli/commands/doctor.ts',
      'src/cli/commands/write-commands.ts',
      'src/cli/connection.ts',
      'src/cli/infisical-setup.ts',
      'src/cli/inspect-embedded-store.ts',
      'src/cli/migrate-from-tapr.ts',
      'src/cli/rotate-master-key.ts',
      'src/cli/smoke-test.ts',
      'src/cli/unregister.ts',
      'src/main.ts',
    ]);
  });

  it('every entry point first sees to it that SIGUSR1 opens no debugger', () => {
    const entries = files.filter((file) =>
      /^(?:main\(\)\.catch\(|if \(require\.main === module\) void main\()/m.test(textOf(file)),
    );
    expect(entries.sort()).toEqual([
      'src/cli/audit.ts',
      'src/cli/infisical-setup.ts',
      'src/cli/inspect-embedded-store.ts',
      'src/cli/migrate-from-tapr.ts',
      'src/cli/olares-secrets.ts',
      'src/cli/rotate-master-key.ts',
      'src/cli/unregister.ts',
      'src/main.ts',
    ]);
    const firstImports = entries.map((file) => basename(/^import .*'(.+)';$/m.exec(textOf(file))?.[1] ?? ''));
    expect(firstImports).toEqual(entries.map(() => 'hardened-process'));
  });

  it('only the use-cases, user deprovisioning and health speak to the store', () => {
    const users = internal.filter(
      ({ file, to }) =>
        to === 'src/secrets/secret-store.ts' && !COMPOSITION.test(file) && !/^src\/stores\//.test(file),
    );
    expect(users.map(({ file }) => file).sort()).toEqual([
      'src/audit/audit-trail.ts',
      'src/http/controllers/health.controller.ts',
      'src/secrets/secrets.service.ts',
      'src/telemetry/metric-observers.ts',
      'src/telemetry/traced.ts',
      'src/user-deprovisioning/user-deletion.ts',
    ]);
  });

  it('there are no barrels and no folders for everything', () => {
    // That of the package `client/` is what its users import.
    expect(files.filter((file) => file.endsWith('/index.ts'))).toEqual(['src/client/index.ts']);
    expect(files.filter((file) => /\/(util|utils|common|helpers?|shared)\//.test(file))).toEqual([]);
  });

  it('no file is longer than 250 lines', () => {
    const lengths = files.map((file) => ({ file, lines: textOf(file).split('\n').length - 1 }));
    expect(lengths.filter(({ lines }) => lines > 250)).toEqual([]);
  });

  it('the project stands alone: nothing refers to what lies beside it', () => {
    const outside = ['..', 'shared'].join('/');
    const tracked = [...files, 'package.json', 'README.md'].filter((file) => textOf(file).includes(outside));
    expect(tracked).toEqual([]);
  });
});
