import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { METRIC_DEFINITIONS, type MetricDefinition } from '../../src/telemetry/metric-definitions';

const PAGE = join(__dirname, '../../docs/telemetry.md');
const SECTION = /(<!-- metrics: [^>]*-->\n)[\s\S]*(<!-- \/metrics -->)/;

function table(): string {
  const definitions: [string, MetricDefinition][] = Object.entries(METRIC_DEFINITIONS);
  const rows = definitions.map(([name, { type, help, labels = {} }]) => {
    const shown = Object.entries(labels).map(([label, values]) => `\`${label}\`: ${values}`);
    return `| \`${name}\` | ${type} | ${help} | ${shown.join('; ')} |`;
  });
  return ['', '| metric | type | meaning | labels |', '|---|---|---|---|', ...rows, '', ''].join('\n');
}

describe('docs/telemetry.md', () => {
  it('shows the metrics as the code has them (npm run docs renews them)', () => {
    const text = readFileSync(PAGE, 'utf8');
    const renewed = text.replace(SECTION, (_all, begin: string, end: string) => `${begin}${table()}${end}`);
    if (process.env['UPDATE_DOCS'] !== undefined) writeFileSync(PAGE, renewed);
    else expect(text).toBe(renewed);
    expect(renewed).toContain('| `osp_requests_total` |');
  });
});
