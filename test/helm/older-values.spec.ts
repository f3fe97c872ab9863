import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import {
  CHART,
  chartFile,
  helm,
  merged,
  namespaceOf,
  type Outcome,
  type Profile,
  PROFILES,
  ROOT,
  THREE_VALUES,
  type Values,
} from './chart';
import { FAMILIES, type Family } from './helm-tools';

const FOLDER = join(ROOT, 'test/fixtures/chart-values');
const VERSIONS = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.json'))
  .sort();
const older = (name: string): Values => JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as Values;
const today = parse(chartFile('values.yaml')) as Values;

/** So that nothing is made up while rendering, and two renderings can be compared. */
const KEYS = { accessToken: { existingSecret: 'keys' }, embedded: { masterKey: { existingSecret: 'keys' } } };
const profileValues = (profile: Profile): Values =>
  merged(merged(parse(chartFile(`values/${profile}.yaml`)) as Values, THREE_VALUES[profile]), KEYS);

/** Every path to a map among the chart's values. */
function blocksOf(values: Values, prefix = ''): readonly string[] {
  return Object.entries(values).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? [prefix + key, ...blocksOf(value as Values, `${prefix}${key}.`)]
      : [],
  );
}
const BLOCKS = blocksOf(today);

describe.each(FAMILIES)('%s', (family: Family) => {
  const dir = mkdtempSync(join(tmpdir(), 'chart-'));
  /** The chart as an upgrade with `--reuse-values` renders it: it has no values but those that it is given. */
  const bare = join(dir, 'helm');
  beforeAll(() => {
    cpSync(CHART, bare, { recursive: true });
    writeFileSync(join(bare, 'values.yaml'), '{}\n');
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  const render = (chart: string, values: Values, ...more: string[]): Outcome =>
    renderIn('os-platform', chart, values, ...more);
  const renderIn = (namespace: string, chart: string, values: Values, ...more: string[]): Outcome =>
    helm(family, ['template', 'vault', chart, '-n', namespace, '-f', '-', ...more], values);

  // Helm 3 renders with the first and the last: it takes as long as Helm 4, and what the versions changed is the same for both. The gate
  // has Helm 4 render every fifth and the last, and every third block by Helm 3 and in a file;
  // LONG_TESTS=true takes all.
  const isLong = process.env['LONG_TESTS'] === 'true';
  const everyFifth = VERSIONS.filter((_name, index) => index % 5 === 0);
  const ofHelm4 = isLong ? VERSIONS : [...everyFifth, ...VERSIONS.slice(-1)];
  const chosen = isLong ? BLOCKS : BLOCKS.filter((_block, index) => index % 3 === 0);
  const versions = family === 'helm 4' ? ofHelm4 : [...VERSIONS.slice(0, 1), ...VERSIONS.slice(-1)];
  describe.each(versions)('an upgrade that reuses the values of version %s', (version) => {
    it.each(PROFILES)('renders what the same values render beside those of today: %s', (profile) => {
      const values = merged(older(version), profileValues(profile));
      const namespace = namespaceOf([profile]);
      const reused = renderIn(namespace, bare, values);
      expect([reused.ok, reused.stderr]).toEqual([true, '']);
      if (family === 'helm 4') expect(reused.stdout).toBe(renderIn(namespace, CHART, values).stdout);
    });
  });

  it('renders its notes of the values of the first version', () => {
    if (family !== 'helm 4') return;
    const values = merged(older(VERSIONS[0]!), profileValues('olares-1.12.0'));
    const args = ['install', 'vault', bare, '-n', 'os-platform', '--dry-run=client', '-f', '-'];
    expect(helm(family, args, values)).toMatchObject({
      ok: true,
      stderr: expect.not.stringMatching(/error/i),
    });
  });

  describe.each(family === 'helm 4' ? BLOCKS : chosen)('the block %s', (block) => {
    const values = profileValues('standalone-embedded');
    /** Rendered, or refused in a sentence of the chart's for want of what the block alone said. */
    const outcomeOf = ({ ok, stdout, stderr }: Outcome): string => {
      if (ok) return stdout.replace(/^( {2}[\w-]+-key: ).*$/gm, '$1<made>');
      return (
        /execution error at \(\S+\): ([a-z]\w+(\.\w+)*: (?:name|state) the .*)/.exec(stderr)?.[1] ??
        `broken: ${stderr}`
      );
    };

    it('may be taken away by --set, or be null in a file', () => {
      const without = outcomeOf(render(CHART, values, '--set', `${block}=null`));
      expect(without).not.toMatch(/^broken/);
      if (family !== 'helm 4' || !chosen.includes(block)) return;
      const nulled = block
        .split('.')
        .reduceRight<unknown>((inner, key) => ({ [key]: inner }), null) as Values;
      expect(outcomeOf(render(CHART, merged(values, nulled)))).toBe(without);
    });
  });
});

it('a value that is absent is the one of values.yaml, which the templates have with them (npm run docs renews it)', () => {
  expect(parse(chartFile('files/defaults.yaml'))).toEqual(today);
});

it.each([
  ['a request of CPU', { resources: { requests: { cpu: null } } }, /cpu: 50m/],
  [
    'a way to tell the namespaces of apps',
    { networkPolicy: { ingress: { appNamespaces: { matchExpressions: null, matchLabels: { a: 'b' } } } } },
    /bytetrade\.io\/ns-owner/,
  ],
  [
    'a label of the dashboard',
    { metrics: { dashboard: { enabled: true, labels: { grafana_dashboard: null, folder: 'a' } } } },
    /grafana_dashboard/,
  ],
])('%s stays away where it is taken away: that has a meaning', (_what, values, absent) => {
  const all = merged(profileValues('standalone-embedded'), values);
  const { ok, stdout } = helm('helm 4', ['template', 'vault', CHART, '-f', '-'], all);
  expect(ok).toBe(true);
  expect(stdout).not.toMatch(absent);
});
