import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const JEST = resolve(ROOT, 'node_modules/jest/bin/jest.js');

/** A suite that needs redis-server, on a machine that has nothing in PATH. */
function suite(env: Readonly<Record<string, string>>, ...args: readonly string[]) {
  const run = spawnSync(process.execPath, [JEST, '-i', 'test/redis/redis.rate-limits', ...args], {
    cwd: ROOT,
    env: { PATH: '', NO_COLOR: '1', ...env },
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: run.status, said: run.stderr };
}

describe('npm test without redis-server', () => {
  it('skips what needs it, says how many tests and why, and passes', () => {
    const { code, said } = suite({});
    expect(said).toMatch(
      /^ {2}\d+ skipped: there is no redis-server in PATH \(apt-get install redis-server\)$/m,
    );
    expect([code, /^Tests: +(\d+) skipped, \1 total$/m.test(said)]).toEqual([0, true]);
  });

  it('fails in CI, where no test may be skipped', () => {
    const { code, said } = suite({ CI: 'true' });
    expect([code, said.includes('In CI no test may be skipped: this run has failed.')]).toEqual([1, true]);
  });

  it('is told nothing of the tests that a name leaves out', () => {
    expect(suite({ CI: 'true' }, '-t', 'no test is called this')).toEqual({
      code: 0,
      said: expect.not.stringContaining('In CI'),
    });
  });
});
