import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withDevelopmentCredentials } from '../../src/development/development';
import { writePrivately } from '../../src/development/example-caller';

describe('the credentials of a laptop', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'development-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  it.each([
    ['HOST=0.0.0.0', { HOST: '0.0.0.0' }],
    ['HOST=::', { HOST: '::' }],
    ['an address of the machine', { HOST: '10.0.0.5' }],
    ['a name that may be any address', { HOST: 'laptop' }],
    ['an address that only looks like loopback', { HOST: '127.0.0.1.example' }],
    ['NODE_ENV=production', { NODE_ENV: 'production' }],
    ['NODE_ENV=production on loopback', { NODE_ENV: 'production', HOST: '127.0.0.1' }],
  ])('are not made with %s, where others could use them', (_where, env) => {
    const { env: given, selfContained } = withDevelopmentCredentials({ DATA_DIR: dir, ...env });
    expect([given, selfContained]).toEqual([{ DATA_DIR: dir, ...env }, false]);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('are never written through a link that stands in their way', () => {
    const [file, elsewhere] = [join(dir, 'env'), join(dir, 'elsewhere')];
    writeFileSync(elsewhere, '');
    symlinkSync(elsewhere, `${file}.next`);
    writePrivately(file, 'secret');
    expect([readFileSync(elsewhere, 'utf8'), readFileSync(file, 'utf8')]).toEqual(['', 'secret']);
    expect(lstatSync(file).mode & 0o170777).toBe(0o100600);
  });

  it('are made once for a loopback address, differ for each laptop, and only their user may read them', () => {
    const first = withDevelopmentCredentials({ DATA_DIR: join(dir, 'one') });
    expect(first.selfContained).toBe(true);
    expect(withDevelopmentCredentials({ DATA_DIR: join(dir, 'one') }).env).toEqual(first.env);
    const second = withDevelopmentCredentials({ DATA_DIR: join(dir, 'two') });
    const names = ['MASTER_KEY_FILE', 'USER_TOKEN_SECRET_FILE', 'ACCESS_TOKEN_KEY_FILE'];
    const files = [first, second].flatMap(({ env }) => names.map((name) => env[name] ?? ''));
    expect(new Set(files.map((file) => readFileSync(file, 'latin1'))).size).toBe(6);
    for (const file of files) expect([file, statSync(file).mode & 0o077]).toEqual([file, 0]);
    expect(statSync(first.folder).mode & 0o077).toBe(0);
  });

  it('do not stand in for a key that is given, and open no Settings routes beside it', () => {
    const { env, selfContained } = withDevelopmentCredentials({
      DATA_DIR: dir,
      USER_TOKEN_SECRET: 'u'.repeat(32),
    });
    expect([selfContained, env['USER_TOKEN_SECRET_FILE'], env['SETTINGS_ROUTES']]).toEqual([
      false,
      undefined,
      undefined,
    ]);
  });
});
