import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

/** The npm of Node 20; newer ones complain of less. */
const OLDEST_NPM = 'npm@10.8.2';

describe('package-lock.json', () => {
  it('is complete for the oldest npm that a Node of ours brings along', () => {
    const run = spawnSync(
      'npm',
      ['exec', '--yes', `--package=${OLDEST_NPM}`, '--', 'npm', 'ci', '--dry-run'],
      {
        cwd: resolve(__dirname, '../..'),
        encoding: 'utf8',
        timeout: 120_000,
      },
    );
    expect([run.status, run.stderr.match(/^npm error Missing.*$/gm)]).toEqual([0, null]);
  }, 120_000);
});
