import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PUBLISHED_MANIFESTS, PUBLISHED_MANIFESTS_FOLDER } from '../support/published-manifests';

const MAIN = resolve(__dirname, '../../dist/cli/olares-secrets.js');

describe('check-manifest over a catalogue', () => {
  const dir = mkdtempSync(join(tmpdir(), 'many-manifests-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  it('checks a thousand manifests in less than five seconds of one processor', () => {
    const names = Object.keys(PUBLISHED_MANIFESTS);
    for (let at = 0; at < 1_000; at++)
      cpSync(
        join(PUBLISHED_MANIFESTS_FOLDER, `${names[at % names.length]}.yaml`),
        join(dir, `${at}/OlaresManifest.yaml`),
      );
    // The shell prints what its children took: user and system, in minutes and seconds.
    const line = '"$@" 2>&1 >/dev/null; times';
    const output = execFileSync('sh', ['-c', line, 'sh', process.execPath, MAIN, 'check-manifest', dir], {
      encoding: 'utf8',
    });
    expect(output).toMatch(/^1000 manifests, 210 grants, 126 errors, 0 warnings\.$/m);
    const times = [
      ...output
        .trimEnd()
        .split('\n')
        .slice(-1)[0]!
        .matchAll(/(\d+)m([\d.]+)s/g),
    ];
    expect(times).toHaveLength(2);
    const seconds = times.map(([, minutes, rest]) => Number(minutes) * 60 + Number(rest));
    expect(seconds.reduce((sum, one) => sum + one)).toBeLessThan(5);
  });
});
