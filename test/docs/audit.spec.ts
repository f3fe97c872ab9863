import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

const ROOT = resolve(__dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'docs/audit.md'), 'utf8');
const TESTS = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(spec|conformance)\.ts$/.test(name) && name !== 'docs/audit.spec.ts')
  .map((name) => readFileSync(join(ROOT, 'test', name), 'utf8'));

/** Returns whether a pattern with `*` matches a path. */
function isMatched(pattern: string, path: string): boolean {
  return new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`).test(path);
}

describe('docs/audit.md', () => {
  it('names a test for each guarantee, and the tests exist', () => {
    const [, table = ''] = PAGE.split('## What holds it');
    const rows = table.split('\n').filter((line) => line.startsWith('|')).join('\n'); // prettier-ignore
    const titles = [...rows.matchAll(/`([^`]+)`/g)].map(([, title = '']) => title);
    expect(titles.length).toBeGreaterThan(15);
    expect(titles.filter((title) => !TESTS.some((text) => text.includes(`'${title}'`)))).toEqual([]);
  });

  it('ships the file and what it was rotated to, and never the file that remembers the end', () => {
    const [vector, fluentBit, promtail] = [...PAGE.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => parse(text)); // prettier-ignore
    const { include, exclude } = vector.sources.audit;
    const { __path__: path, __path_exclude__: excluded } =
      promtail.scrape_configs[0].static_configs[0].labels;
    const agents: readonly (readonly [readonly string[], readonly string[]])[] = [
      [include, exclude],
      [[path], [excluded]],
    ];
    for (const [paths, not] of agents) {
      const isShipped = (file: string) =>
        paths.some((one) => isMatched(one, file)) && !not.some((one) => isMatched(one, file));
      expect(isShipped('/audit/audit.log')).toBe(true);
      expect(isShipped('/audit/audit.log.000000000000001')).toBe(true);
      expect(isShipped('/audit/audit.log.head')).toBe(false);
    } // prettier-ignore
    expect(vector.sinks.loki.inputs).toEqual(Object.keys(vector.sources));
    const { inputs, outputs } = fluentBit.pipeline;
    expect([inputs[0].path, outputs[0].match]).toEqual(['/audit/audit.log', inputs[0].tag]);
  });
});
