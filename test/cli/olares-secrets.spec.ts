import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const MAIN = resolve(__dirname, '../../dist/cli/olares-secrets.js');
const { version, bin } = JSON.parse(readFileSync(resolve(__dirname, '../../package.json'), 'utf8'));

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

  it('is the bin of the package, which says what to run where nothing is built yet', () => {
    const file: string = bin['olares-secrets'];
    const checkout = mkdtempSync(join(tmpdir(), 'checkout-'));
    const run = (folder: string) => spawnSync(join(folder, file), ['--version'], { encoding: 'utf8' });
    try {
      cpSync(resolve(__dirname, '../..', file), join(checkout, file));
      expect(run(checkout)).toMatchObject({
        status: 3,
        stdout: '',
        stderr: `olares-secrets: It is not built yet: run "npm ci && npm run build" in ${checkout}/.\n`,
      });
    } finally {
      rmSync(checkout, { recursive: true });
    }
    expect(run(resolve(__dirname, '../..'))).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
});
