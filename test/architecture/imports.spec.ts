import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const SRC = join(ROOT, 'src');

/** Which rooms a room may enter. docs/architecture.md shows the same table. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  clock: [],
  concurrency: ['clock'],
  config: [],
  logging: [],
  rotation: ['clock', 'logging'],
  identity: ['concurrency', 'rotation', 'errors', 'clock', 'logging'],
  kubernetes: ['identity', 'concurrency', 'errors', 'clock', 'logging'],
  grants: ['kubernetes', 'identity', 'errors', 'clock', 'logging'],
  registration: ['grants', 'kubernetes', 'clock', 'logging'],
  secrets: ['grants', 'identity', 'errors'],
  deprovisioning: ['secrets', 'identity', 'errors', 'clock', 'logging'],
  store: ['secrets', 'rotation', 'concurrency', 'errors', 'clock', 'logging'],
  cache: ['secrets', 'concurrency', 'errors', 'clock'],
  limits: ['secrets', 'concurrency', 'errors', 'clock', 'logging'],
  redis: ['cache', 'store', 'protection', 'rotation', 'clock', 'logging'],
  http: [
    'protection',
    'concurrency',
    'departures',
    'secrets',
    'grants',
    'identity',
    'rotation',
    'errors',
    'clock',
    'logging',
  ],
  telemetry: [
    'http',
    'redis',
    'store',
    'cache',
    'protection',
    'secrets',
    'kubernetes',
    'grants',
    'identity',
    'errors',
    'clock',
    'logging',
  ],
  development: ['config', 'grants'],
};

/** The entry points and the wiring, which import everything and are imported by each other only. */
const ENTRY = /^src\/[a-z.-]+\.ts$/;

/** Packages that have one home. */
const HOME_OF: Readonly<Record<string, RegExp>> = {
  axios: /^src\/store\/infisical\/(wire-call|wire-failure)\.ts$/,
  '@kubernetes/client-node': /^src\/kubernetes\/kube-config\.connection\.ts$/,
  'classic-level': /^src\/store\/embedded\//,
  bcrypt: /^src\/(identity\/bcrypt-worker\.mjs|development\/example-caller\.ts)$/,
  'prom-client': /^src\/telemetry\//,
  '@opentelemetry/api': /^src\/telemetry\//,
  '@opentelemetry/core': /^src\/telemetry\//,
  '@opentelemetry/exporter-trace-otlp-http': /^src\/telemetry\//,
  '@opentelemetry/resources': /^src\/telemetry\//,
  '@opentelemetry/sdk-trace': /^src\/telemetry\//,
  cockatiel: /^src\/protection\//,
  'pino-pretty': /^src\/logging\/pretty-log\.ts$/,
  ioredis: /^src\/redis\//,
  jose: /^src\/(identity\/(access-token|verified-claims)|development\/example-caller)\.ts$/,
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
    to: to.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(file), to)) : to,
  })),
);
const roomOf = (path: string): string | undefined => /^src\/([^/]+)\//.exec(path)?.[1];

describe('the house rules', () => {
  it('rooms import only where the table allows', () => {
    const forbidden = imports
      .filter(({ file, to }) => !ENTRY.test(file) && to.startsWith('src/') && roomOf(to) !== roomOf(file))
      .filter(({ file, to }) => !(MAY_IMPORT[roomOf(file) ?? ''] ?? []).includes(roomOf(to) ?? ''));
    expect(forbidden).toEqual([]);
  });

  it('every room is in the table', () => {
    const locations = new Set(files.map(roomOf).filter((location) => location !== undefined));
    expect([...locations].sort()).toEqual(Object.keys(MAY_IMPORT).sort());
  });

  it('a package with a home is imported there only', () => {
    const strays = imports.filter(({ file, to }) => HOME_OF[to] !== undefined && !HOME_OF[to].test(file));
    expect(strays).toEqual([]);
  });

  it('the environment is read by the entry points only, and settings.ts gives it its meaning', () => {
    const readers = files.filter((file) => textOf(file).includes('process.env'));
    expect(readers.sort()).toEqual([
      'src/cli/smoke-test.ts',
      'src/cli/infisical-setup.ts',
      'src/cli/inspect-embedded-store.ts',
      'src/main.ts',
      'src/cli/rotate-master-key.ts',
    ]);
  });

  it('every entry point first sees to it that SIGUSR1 opens no debugger', () => {
    const entries = files.filter((file) => /^main\(\)\.catch\(/m.test(textOf(file)));
    expect(entries.sort()).toEqual([
      'src/cli/infisical-setup.ts',
      'src/cli/inspect-embedded-store.ts',
      'src/main.ts',
      'src/cli/rotate-master-key.ts',
      'src/cli/unregister.ts',
    ]);
    const firstImports = entries.map((file) => /^import .*'(.+)';$/m.exec(textOf(file))?.[1]);
    expect(firstImports).toEqual(entries.map(() => './inspector-signal'));
  });

  it('only the use-cases and health speak to the store', () => {
    const users = imports.filter(
      ({ file, to }) => to === 'src/secrets/secret-store' && !/^src\/(store|cache|protection)\//.test(file),
    );
    expect(users.map(({ file }) => file).sort()).toEqual([
      'src/bootstrap/adapters.ts',
      'src/app.module.ts',
      'src/user-deprovisioning/user-deprovisioning.ts',
      'src/user-deprovisioning/deletion-jobs.ts',
      'src/user-deprovisioning/user-deletion.ts',
      'src/http/controllers/health.controller.ts',
      'src/bootstrap/open-adapters.ts',
      'src/secrets/app-secrets.service.ts',
      'src/secrets/secrets.service.ts',
      'src/secrets/secret-store-decorator.ts',
      'src/telemetry/service-metrics.ts',
      'src/telemetry/traced.ts',
    ]);
  });

  it('there are no barrels and no rooms for everything', () => {
    expect(files.filter((file) => file.endsWith('/index.ts'))).toEqual([]);
    expect(files.filter((file) => /\/(util|utils|common|helpers?|shared)\//.test(file))).toEqual([]);
  });

  it('no file is longer than 250 lines', () => {
    const lengths = files.map((file) => ({ file, lines: textOf(file).split('\n').length - 1 }));
    expect(lengths.filter(({ lines }) => lines > 250)).toEqual([]);
  });

  it('a constructor takes at most five parameters', () => {
    const tooMany = files.filter((file) =>
      [...textOf(file).matchAll(/constructor\(([^)]*)\)/g)].some(
        ([, parameters = '']) =>
          parameters
            .replace(/\/\*[\s\S]*?\*\//g, '')
            .split(/,\s*\n|, /)
            .filter((p) => /:/.test(p)).length > 5,
      ),
    );
    expect(tooMany).toEqual([]);
  });

  it('the project stands alone: nothing refers to what lies beside it', () => {
    const outside = ['..', 'shared'].join('/');
    const tracked = [...files, 'package.json', 'README.md'].filter((file) => textOf(file).includes(outside));
    expect(tracked).toEqual([]);
  });
});
