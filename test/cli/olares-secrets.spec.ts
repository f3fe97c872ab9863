import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const MAIN = resolve(__dirname, '../../dist/cli/olares-secrets.js');
const { version } = JSON.parse(readFileSync(resolve(__dirname, '../../package.json'), 'utf8'));

function olaresSecrets(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** The built program, as its user runs it. */
describe('olares-secrets', () => {
  it('prints its help and its version on standard output', () => {
    expect(olaresSecrets('--help')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^Usage: olares-secrets [^]*Exit codes: 0 done;/),
      stderr: '',
    });
    expect(olaresSecrets('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('says in one sentence what is wrong with its use, without what may be a secret, and exits with 2', () => {
    expect(olaresSecrets('--value=hunter2')).toEqual({
      status: 2,
      stdout: '',
      stderr: "olares-secrets: Unknown option '--value'.\n",
    });
    expect(olaresSecrets('no-such-command')).toMatchObject({ status: 2, stdout: '' });
  });
});
