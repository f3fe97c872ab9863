import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

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
    expect(olaresSecrets()).toMatchObject({ status: 2, stdout: '' });
    expect(olaresSecrets('no-such-command')).toMatchObject({ status: 2, stdout: '' });
  });
});

/** The bin of the package, in a checkout whose compiler is a fake one. */
describe('the bin of the package', () => {
  const dir = mkdtempSync(join(tmpdir(), 'checkout-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), text);
  };
  const bin = () => {
    const { status, stdout, stderr } = spawnSync(join(dir, 'scripts/olares-secrets.mjs'), ['list'], {
      encoding: 'utf8',
    });
    return { status, stdout, lines: stderr.split('\n').length - 1 };
  };

  it('says what is missing, builds where sources are newer, and then only runs', () => {
    mkdirSync(join(dir, 'scripts'));
    copyFileSync(
      resolve(__dirname, '../../scripts/olares-secrets.mjs'),
      join(dir, 'scripts/olares-secrets.mjs'),
    );
    write('src/main.ts', '');
    expect(bin()).toEqual({ status: 3, stdout: '', lines: 1 });
    write(
      'node_modules/@nestjs/cli/bin/nest.js',
      `const { mkdirSync, writeFileSync } = require('node:fs');
      console.log('from the compiler');
      mkdirSync('dist/cli', { recursive: true });
      writeFileSync('dist/.tsbuildinfo', '');
      writeFileSync('dist/cli/olares-secrets.js', 'console.log(process.argv[2])');`,
    );
    expect(bin()).toEqual({ status: 0, stdout: 'list\n', lines: 2 });
    expect(bin()).toEqual({ status: 0, stdout: 'list\n', lines: 0 });
    utimesSync(join(dir, 'src/main.ts'), new Date(), new Date(Date.now() + 1000));
    expect(bin()).toEqual({ status: 0, stdout: 'list\n', lines: 2 });
  });

  it('is the one that package.json names', () => {
    const { bin: named } = JSON.parse(readFileSync(resolve(__dirname, '../../package.json'), 'utf8'));
    expect(named).toEqual({ 'olares-secrets': 'scripts/olares-secrets.mjs' });
    expect(statSync(resolve(__dirname, '../../scripts/olares-secrets.mjs')).mode & 0o111).toBe(0o111);
  });
});
