import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { valueRows, valuesTable } from '../../scripts/chart-values/values-table';

const CHART = join(__dirname, '../../helm');
const README = join(CHART, 'README.md');
const SECTION = /(<!-- values: [^>]*-->\n)[\s\S]*(<!-- \/values -->)/;

const valuesYaml = readFileSync(join(CHART, 'values.yaml'), 'utf8');
const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'));

/** Paths that the schema knows, down to where it lets anything in. */
function schemaPaths(part: typeof schema, prefix = ''): readonly string[] {
  return Object.entries(part.properties ?? {}).flatMap(([key, inner]: [string, typeof schema]) => [
    `${prefix}${key}`,
    ...schemaPaths(inner, `${prefix}${key}.`),
  ]);
}

function valuePaths(values: object, prefix = ''): readonly string[] {
  return Object.entries(values).flatMap(([key, inner]: [string, unknown]) => [
    `${prefix}${key}`,
    ...(typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? valuePaths(inner, `${prefix}${key}.`)
      : []),
  ]);
}

describe("the chart's README", () => {
  it('shows the values as values.yaml has them (npm run docs renews them)', () => {
    const text = readFileSync(README, 'utf8');
    const table = valuesTable(valuesYaml);
    const renewed = text.replace(
      SECTION,
      (_all, begin: string, end: string) => `${begin}\n${table}\n\n${end}`,
    );
    if (process.env['UPDATE_DOCS'] !== undefined) writeFileSync(README, renewed);
    else expect(text).toBe(renewed);
    expect(renewed).toContain('`infisical.kubernetesAuth.identityId`');
  });

  it('has the values as YAML alone for the templates, which see no comments (npm run docs renews them)', () => {
    const file = join(CHART, 'files/defaults.yaml');
    const text = `# Made from values.yaml by npm run docs: see templates/_defaults.tpl.\n${stringify(parse(valuesYaml))}`;
    if (process.env['UPDATE_DOCS'] !== undefined) writeFileSync(file, text);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('says of every value what it means', () => {
    expect(valueRows(valuesYaml).filter(({ meaning }) => meaning === undefined)).toEqual([]);
  });
});

describe('values.schema.json', () => {
  it('knows every value, and none that there is not', () => {
    const free = [
      'networkPolicy.ingress.appNamespaces.',
      'metrics.dashboard.labels.',
      'networkPolicy.egress.dns.to',
      'resources.limits.cpu',
    ];
    const isFixed = (path: string): boolean =>
      !free.some((start) => path.startsWith(start)) && path !== 'global';
    const known = schemaPaths(schema).filter(isFixed);
    expect(valuePaths(parse(valuesYaml)).filter(isFixed).sort()).toEqual(known.sort());
  });

  it('lets no unknown key into any map that has keys of its own', () => {
    const open = (part: typeof schema, at: string): string[] =>
      typeof part !== 'object' || part === null
        ? []
        : [
            ...(part.properties !== undefined && part.additionalProperties !== false ? [at] : []),
            ...Object.entries(part).flatMap(([key, inner]) => open(inner, `${at}/${key}`)),
          ];
    expect(open(schema, '')).toEqual([]);
  });
});
