import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidSettings, loadSettings } from '../../src/config/settings';
import { TestAuthority } from '../support/certificates';

const GOOD = {
  GRANTS_DIR: '/apps',
  MASTER_KEY: 'm'.repeat(32),
  USER_TOKEN_SECRET: 'u'.repeat(64),
  ACCESS_TOKEN_KEY: 'a'.repeat(32),
};
const RULE = 'must be redis://[[user]:password@]host[:port][/database], or rediss:// for TLS';

function redisOf(env: Record<string, string>) {
  return loadSettings({ ...GOOD, ...env }).redis;
}
function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    redisOf(env);
    return [];
  } catch (error: unknown) {
    if (error instanceof InvalidSettings) return error.problems;
    throw error;
  }
}

describe('the settings of Redis', () => {
  const dir = mkdtempSync(join(tmpdir(), 'redis-settings-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  it('switch it on by its URL, and keep it off otherwise', () => {
    expect(redisOf({})).toBeUndefined();
    expect(redisOf({ REDIS_URL: 'redis://cache' })).toEqual({
      server: { host: 'cache', port: 6379, database: 0, tls: false },
      keyPrefix: 'osp:',
    });
    expect(redisOf({ REDIS_URL: 'rediss://osp:p%40ss@[fd00::1]:6380/3', REDIS_KEY_PREFIX: 'a' })).toEqual({
      server: { host: 'fd00::1', port: 6380, username: 'osp', password: 'p@ss', database: 3, tls: true },
      keyPrefix: 'a',
    });
    expect(redisOf({ REDIS_URL: 'redis://:secret@cache' })?.server).toMatchObject({ password: 'secret' });
  });

  it('take the URL from a file, whose path is told to who watches it', () => {
    const file = join(dir, 'redis-url');
    writeFileSync(file, 'redis://:secret@cache/\n');
    const settings = loadSettings({ ...GOOD, REDIS_URL_FILE: file });
    expect(settings.redis?.server).toMatchObject({ host: 'cache', password: 'secret', database: 0 });
    expect(settings.credentialFiles.REDIS_URL).toBe(file);
  });

  it('name the Sentinels as Infisical does', () => {
    const sentinels = {
      REDIS_URL: 'redis://:secret@ignored/1',
      REDIS_SENTINEL_HOSTS: 'one:26380, two,[fd00::1]:5000',
      REDIS_SENTINEL_MASTER_NAME: 'main',
      REDIS_SENTINEL_USERNAME: 'watcher',
      REDIS_SENTINEL_PASSWORD: 'word',
      REDIS_SENTINEL_ENABLE_TLS: 'true',
    };
    expect(redisOf(sentinels)?.sentinels).toEqual({
      hosts: [
        { host: 'one', port: 26380 },
        { host: 'two', port: 26379 },
        { host: 'fd00::1', port: 5000 },
      ],
      masterName: 'main',
      username: 'watcher',
      password: 'word',
      tls: true,
    });
  });

  it('say what is wrong, and show nothing of it', () => {
    const caFile = join(dir, 'ca.pem');
    writeFileSync(caFile, 'no certificate');
    for (const url of [
      'canary',
      'http://canary',
      'redis://',
      'redis://c/x',
      'redis://c?canary=1',
      'redis://:%ff@c',
    ]) {
      expect(problemsOf({ REDIS_URL: url })).toEqual([`REDIS_URL ${RULE}`]);
    }
    expect(problemsOf({ REDIS_SENTINEL_HOSTS: 'one' })).toEqual([
      'REDIS_URL must be set when REDIS_SENTINEL_HOSTS is',
    ]);
    const wrong = { REDIS_SENTINEL_HOSTS: 'one:70000', REDIS_CA_FILE: caFile, REDIS_KEY_PREFIX: 'a b' };
    expect(problemsOf({ REDIS_URL: 'redis://c', ...wrong })).toEqual([
      'REDIS_SENTINEL_HOSTS must list host:port, separated by commas',
      `REDIS_CA_FILE: ${caFile} holds no PEM certificate`,
      'REDIS_KEY_PREFIX must have at most 64 printable characters and no space',
    ]);
    writeFileSync(caFile, new TestAuthority().cert);
    expect(redisOf({ REDIS_URL: 'rediss://c', REDIS_CA_FILE: caFile })?.authorityFiles).toEqual({ caFile });
  });
});
