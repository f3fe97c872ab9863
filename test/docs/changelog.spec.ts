import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const ROOT = join(__dirname, '../..');
const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

describe('CHANGELOG.md', () => {
  const text = textOf('CHANGELOG.md');

  it('begins with the version of package.json, of the chart and of the image', () => {
    const [, latest] = /^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$/m.exec(text) ?? [];
    const { version } = JSON.parse(textOf('package.json')) as { version: string };
    const { appVersion } = parse(textOf('helm/Chart.yaml')) as { appVersion: string };
    const [, image] = /^ARG VERSION=(.+)$/m.exec(textOf('Dockerfile')) ?? [];
    expect([latest, appVersion, image]).toEqual([version, version, version]);
  });

  it('has no other headings than versions, what is unreleased, and the kinds of Keep a Changelog', () => {
    const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
    const known =
      /^(Changelog|\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d|Added|Changed|Deprecated|Removed|Fixed|Security)$/;
    expect(headings.filter((heading) => !known.test(heading))).toEqual([]);
  });

  it('has no entry of more than two lines', () => {
    const entries = [...text.matchAll(/^- .*(?:\n {2}.*)*/gm)].map(([entry]) => entry);
    expect(entries.length).toBeGreaterThan(50);
    expect(entries.filter((entry) => entry.split('\n').length > 2)).toEqual([]);
  });
});
