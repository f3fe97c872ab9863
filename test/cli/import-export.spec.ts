import { spawnSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { failureOf } from '../../src/cli/console';
import { type Environment, SecretVault } from '../../src/client/index';
import { MAX_VALUE_BYTES } from '../../src/secrets/secret';
import { describeWith } from '../support/describe-with';
import { eventually } from '../support/eventually';
import { OTMOICLP, READER } from '../support/example-apps';
import { MAIN } from './built-command';
import { BuiltCommands, ended } from './built-commands';

const FIXTURES = join(__dirname, '../fixtures/age');
const [RECIPIENT = ''] = /age1\w+/.exec(readFileSync(join(FIXTURES, 'identity.txt'), 'utf8')) ?? [];
const CANARY = 'canary-9d21';
/** What one format or another might lose. */
const HARD = {
  __proto__x: '',
  'key with blanks': ' a\r\nb ',
  true: 'null',
  pem: '---\n#1\n',
  'λ/🔑': `'"\`$\\${CANARY}`,
};

let commands: BuiltCommands;
beforeAll(async () => (commands = await BuiltCommands.start()));
afterAll(() => commands.close());

const path = (name: string) => join(commands.dir, name);
const read = (name: string) => readFileSync(path(name), 'utf8');
const write = (name: string, content: string | object) =>
  writeFileSync(path(name), typeof content === 'string' ? content : JSON.stringify(content));
/** What the service has, asked without a process of its own. */
const stored = async (environment: Environment = 'prod') => {
  const { OLARES_SECRETS_URL: url = '', OLARES_SECRETS_USER_TOKEN: token = '' } = commands.env;
  const { appKey, appSecret } = OTMOICLP;
  const vault = new SecretVault({
    url,
    workspace: 'otmoic',
    environment,
    appKey,
    appSecret,
    userToken: token,
  });
  return Object.fromEntries((await vault.list()).map(({ name, value }) => [name, value]));
};
const mode = (name: string) => (statSync(path(name)).mode & 0o777).toString(8);

describe('import and export', () => {
  it('carry every secret from one environment to another, byte for byte, in each format that holds it', async () => {
    write('hard.json', HARD);
    expect(await commands.run(['import', 'hard.json', '--env', 'test'])).toEqual({
      status: 0,
      stdout: Object.keys(HARD).map((name) => `created ${name}\n`).join(''),
      stderr: '5 created, 0 changed, 0 same, 0 left, 0 failed, 0 not-tried.\n',
    }); // prettier-ignore
    expect(await commands.run(['export', 'hard.yaml', '--env', 'test'])).toEqual({
      status: 0,
      stdout: '',
      stderr: '5 secrets are in hard.yaml.\n',
    });
    const piped = await commands.run(['export', '--format', 'yaml', '--env', 'test']);
    expect(piped.stdout).toBe(read('hard.yaml'));
    await commands.run(['import', '-', '--format', 'yaml', '--env', 'dev'], { input: piped.stdout });
    expect(await stored('dev')).toEqual(HARD);
  });

  it('do so by an archive that is for a recipient', async () => {
    const archived = await commands.run([
      'export',
      'hard.age',
      '--armor',
      '--recipient',
      RECIPIENT,
      '--env',
      'test',
    ]);
    expect(archived.status).toBe(0);
    expect(read('hard.age')).toMatch(/^-----BEGIN AGE/);
    cpSync(join(FIXTURES, 'identity.txt'), path('identity.txt'));
    await commands.run(['import', 'hard.age', '--identity', 'identity.txt', '--env', 'staging']);
    expect(await stored('staging')).toEqual(HARD);
    expect(await commands.run(['import', 'hard.age'])).toMatchObject({ status: 2, stdout: '' });
    expect(await commands.run(['export', 'no.age'])).toMatchObject({ status: 2, stdout: '' });
    write('passphrase', 'battery staple\n');
    await commands.run(['export', 'phrase.age', '--passphrase-file', 'passphrase', '--env', 'test']);
    expect(read('phrase.age')).toMatch(/^age-encryption\.org\/v1\n-> scrypt \S+ 18\n/);
    expect(existsSync(path('no.age'))).toBe(false);
  });

  it('encrypt where the last ending says so, and refuse options of an archive for every other file', async () => {
    write('reader.txt', 'battery staple\n');
    for (const name of ['.env.age', '.env.prod.AGE']) {
      const args = ['export', name, '--recipient', RECIPIENT, '--env', 'test'];
      expect(await commands.run(args)).toMatchObject({ status: 0 });
      expect(read(name)).toMatch(/^age-encryption\.org\/v1\n/);
      rmSync(path(name));
    }
    write('.env.json', { A: '1' });
    expect(await commands.run(['import', '.env.json', '--dry-run'])).toMatchObject({
      status: 0,
      stdout: 'would be created A\n',
    });
    rmSync(path('.env.json'));
    for (const args of [
      ['export', '.env.prod', '--recipient', 'age1x'],
      ['export', 'x.json', '--recipients-file', 'reader.txt'],
      ['export', 'x.yaml', '--passphrase-file', 'reader.txt'],
      ['export', '--format', 'dotenv', '--armor'],
      ['import', 'hard.json', '--identity', 'reader.txt'],
      ['import', 'hard.json', '--passphrase-file', 'reader.txt'],
    ]) {
      const { status, stdout, stderr } = await commands.run(args);
      expect([args, status, stdout]).toEqual([args, 2, '']);
      expect(stderr).toContain('--format age makes it one');
    }
    expect(existsSync(path('.env.prod')) || existsSync(path('x.json')) || existsSync(path('x.yaml'))).toBe(
      false,
    );
  });

  it('write a file that its owner alone can read, never over another one unless told, and leave nothing beside it', async () => {
    write('kept.env', 'theirs');
    write('linked', 'theirs');
    symlinkSync('linked', path('link.json'));
    await commands.run(['import', '-', '--format', 'dotenv'], { input: 'A=1\nB="two\\nlines"\n' });
    expect(await commands.run(['export', 'kept.env'])).toMatchObject({
      status: 1,
      stderr: 'olares-secrets: kept.env exists; --force replaces it.\n',
    });
    expect(read('kept.env')).toBe('theirs');
    expect(await commands.run(['export', 'link.json'])).toMatchObject({ status: 1 });
    expect((await commands.run(['export', 'kept.env', '--force'])).status).toBe(0);
    expect((await commands.run(['export', 'link.json', '--force'])).status).toBe(0);
    expect([read('kept.env'), mode('kept.env'), mode('link.json'), mode('hard.yaml')]).toEqual([
      "A=1\nB='two\nlines'\n",
      '600',
      '600',
      '600',
    ]);
    expect([read('linked'), lstatSync(path('link.json')).isSymbolicLink()]).toEqual(['theirs', false]);
    expect(await commands.run(['export', 'missing/a.json'])).toMatchObject({ status: 3, stdout: '' });
    expect(readdirSync(commands.dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('leave nothing beside the file where a signal ends them', async () => {
    // The file is written, and does not get its name.
    write(
      'hang.cjs',
      "require('node:fs/promises').link = () => new Promise(() => setInterval(() => {}, 1e6))",
    );
    const env = { NODE_OPTIONS: `--require ${path('hang.cjs')}` };
    const unnamed = () => readdirSync(commands.dir).filter((name) => name.startsWith('.ended.json'));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
      const child = commands.spawn(['export', 'ended.json', '--env', 'test'], env);
      const result = ended(child);
      await eventually(() => expect(unnamed()).toHaveLength(1));
      child.kill(signal);
      expect(await result).toMatchObject({ status: signal });
      expect(unnamed()).toEqual([]);
    }
  });

  it('name the file that cannot be used, with exit code 3, also where the system names none', async () => {
    const isFolder = { status: 3, stdout: '', stderr: 'olares-secrets: . cannot be used: EISDIR.\n' };
    expect(await commands.run(['import', '.', '--format', 'json'])).toEqual(isFolder);
    expect(await commands.run(['set', 'x', '--file', '.'])).toEqual(isFolder);
    write(
      'full.cjs',
      `const promises = require('node:fs/promises');
      const { open } = promises;
      promises.open = (path, ...how) => String(path).includes('full.json') ? open('/dev/full', 'w') : open(path, ...how);`,
    );
    const env = { NODE_OPTIONS: `--require ${path('full.cjs')}` };
    expect(await commands.run(['export', 'full.json', '--env', 'test'], { env })).toEqual({
      status: 3,
      stdout: '',
      stderr: 'olares-secrets: full.json cannot be used: ENOSPC.\n',
    });
    expect(existsSync(path('full.json'))).toBe(false);
    const unnamed = Object.assign(new Error(), { code: 'ENOSPC', syscall: 'write' });
    expect(failureOf(unnamed)).toEqual({ exitCode: 3, message: 'The system call write failed: ENOSPC.' });
  });

  it('write a new file, and no other, where the file system has no links', async () => {
    write(
      'fat.cjs',
      `require('node:fs/promises').link = () =>
        Promise.reject(Object.assign(new Error('EPERM'), { code: 'EPERM', syscall: 'link' }));`,
    );
    const env = { NODE_OPTIONS: `--require ${path('fat.cjs')}` };
    const args = ['export', 'stick.json', '--env', 'test'];
    expect(await commands.run(args, { env })).toMatchObject({ status: 0 });
    expect([JSON.parse(read('stick.json')), mode('stick.json')]).toEqual([HARD, '600']);
    expect(await commands.run(args, { env })).toMatchObject({
      status: 1,
      stderr: 'olares-secrets: stick.json exists; --force replaces it.\n',
    });
    expect(readdirSync(commands.dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('say in one sentence that standard output is full, with exit code 3', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [MAIN, 'help', 'export'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect([status, stderr]).toEqual([3, 'olares-secrets: Standard output cannot be written: ENOSPC.\n']);
  });

  it('refuse by name what dotenv cannot hold, before a file is there', async () => {
    const { status, stderr } = await commands.run(['export', 'hard.env', '--env', 'test']);
    expect(status).toBe(1);
    expect(stderr).toContain('"λ/🔑" cannot be written as dotenv');
    expect(stderr).toContain('json, yaml and age');
    expect(stderr).not.toContain(CANARY);
    expect(existsSync(path('hard.env'))).toBe(false);
  });

  it('leave what exists unless --overwrite is given, say so before with --dry-run, and can run again', async () => {
    write('new.json', { A: '1', B: 'other', C: CANARY });
    const report = async (...args: readonly string[]) => {
      const { status, stdout } = await commands.run(['import', 'new.json', '--json', ...args]);
      expect(stdout).not.toContain(CANARY);
      const { secrets } = JSON.parse(stdout) as { secrets: { name: string; outcome: string }[] };
      return [status, ...secrets.map(({ name, outcome }) => `${name} ${outcome}`)];
    };
    expect(await report('--dry-run')).toEqual([1, 'A same', 'B left', 'C created']);
    expect(await report('--dry-run', '--overwrite')).toEqual([0, 'A same', 'B changed', 'C created']);
    expect(await stored()).toEqual({ A: '1', B: 'two\nlines' });
    expect(await report()).toEqual([1, 'A same', 'B left', 'C created']);
    expect(await stored()).toEqual({ A: '1', B: 'two\nlines', C: CANARY });
    expect(await report('--overwrite')).toEqual([0, 'A same', 'B changed', 'C same']);
    expect(await report()).toEqual([0, 'A same', 'B same', 'C same']);
    const dry = await commands.run(['import', '-', '--format', 'dotenv', '--dry-run'], {
      input: 'A=2\nD=1\n',
    });
    expect(dry.stdout).toBe(
      'left A (it exists with another value, which --overwrite replaces)\nwould be created D\n',
    );
    expect(dry.stderr).toMatch(/^Nothing was stored\. 1 created, /);
  });

  it('check the whole file before anything is stored', async () => {
    const before = await stored();
    write('bad.json', { GOOD: '1', BAD: `${CANARY}\0`, LARGE: 'x'.repeat(MAX_VALUE_BYTES + 1) });
    write('bad.env', `GOOD=1\nGOOD=2\nX="${CANARY}\n`);
    for (const [name, status] of [['bad.json', 1], ['bad.env', 3], ['missing.env', 3], ['no-ending', 2]] as const) {
      const ended = await commands.run(['import', name]);
      expect(ended).toMatchObject({ status, stdout: '' });
      expect(ended.stderr).not.toContain(CANARY);
    } // prettier-ignore
    expect(await stored()).toEqual(before);
  });

  it('report what an app may not do, secret by secret', async () => {
    const env = {
      OLARES_SECRETS_APP_KEY: READER.appKey,
      OLARES_SECRETS_APP_SECRET: READER.appSecret,
    };
    const { status, stdout } = await commands.run(['import', '-', '--format', 'dotenv'], { input: 'A=1\nE=1\nF=2\n', env }); // prettier-ignore
    expect([status, stdout.replace(/ \(.*\)/g, '')]).toEqual([1, 'same A\nfailed E\nfailed F\n']);
    expect(stdout).toContain('(NOT_GRANTED: ');
    expect(await commands.run(['export', '--format', 'json'], { env })).toMatchObject({
      status: 1,
      stdout: '',
    });
  });
});

describeWith('pseudo-terminal', 'on a terminal export', () => {
  it('shows values with --reveal alone', async () => {
    const masked = await commands.onTerminal(['export', '--format', 'json']);
    expect(masked.status).toBe(2);
    expect(masked.screen).not.toContain(CANARY);
    const revealed = await commands.onTerminal(['export', '--format', 'json', '--reveal']);
    expect(revealed.screen).toContain(CANARY);
  });

  it('asks twice for a passphrase, which it does not show, and writes nothing where the two differ', async () => {
    const { status, screen } = await commands.onTerminal(
      ['export', 'asked.age'],
      [
        ['Passphrase', 'battery staple\n'],
        ['The same again', 'battery stable\n'],
      ],
    );
    expect([status, /battery/.test(screen)]).toEqual([2, false]);
    expect(screen).toContain('The two passphrases differ.');
    expect(existsSync(path('asked.age'))).toBe(false);
  });
});
