import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidSettings, loadSettings } from '../../src/config/settings';

const GOOD = {
  GRANTS_DIR: '/apps',
  DATA_DIR: '/data',
  MASTER_KEY: 'm'.repeat(32),
  USER_TOKEN_SECRET: 'u'.repeat(64),
  ACCESS_TOKEN_KEY: 'a'.repeat(32),
};
const KEY = 'canary-of-the-audit-key-32-bytes!';
const FILE = { AUDIT: 'file', AUDIT_KEY: KEY, AUDIT_FILE: '/trail/audit.log' };

const auditOf = (env: Record<string, string>) => loadSettings({ ...GOOD, ...env }).audit;

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    auditOf(env);
    return [];
  } catch (error: unknown) {
    if (error instanceof InvalidSettings) return error.problems;
    throw error;
  }
}

describe('the settings of the audit trail', () => {
  const dir = mkdtempSync(join(tmpdir(), 'audit-settings-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  it('are absent where nothing is audited, whatever else is set', () => {
    expect(auditOf({})).toBeUndefined();
    expect(auditOf({ ...FILE, AUDIT: 'off' })).toBeUndefined();
  });

  it('have defaults for all but the key and the file', () => {
    expect(auditOf(FILE)).toEqual({
      sinks: 'file',
      key: Buffer.from(KEY),
      deadlineMs: 2_000,
      file: { path: '/trail/audit.log', maxFileBytes: 100 * 1_048_576, maxFileAgeMs: 24 * 3_600_000, keptFiles: 0, durability: 'os' },
    }); // prettier-ignore
  });

  it('take sizes, ages and durability as they are set, and the key of a file', () => {
    const path = join(dir, 'key');
    writeFileSync(path, KEY);
    const more = { AUDIT_FILE_MAX_MIB: '1', AUDIT_FILE_MAX_HOURS: '2', AUDIT_FILES_KEPT: '3', AUDIT_DURABILITY: 'fsync', AUDIT_DEADLINE_MS: '50' }; // prettier-ignore
    expect(auditOf({ AUDIT: 'both', AUDIT_KEY_FILE: path, AUDIT_FILE: '/t', ...more })).toMatchObject({
      sinks: 'both',
      deadlineMs: 50,
      file: { maxFileBytes: 1_048_576, maxFileAgeMs: 7_200_000, keptFiles: 3, durability: 'fsync' },
    });
  });

  it('need no file for standard output, and have none', () => {
    const audit = auditOf({ ...FILE, AUDIT: 'stdout' });
    expect(audit).toEqual({ sinks: 'stdout', key: Buffer.from(KEY), deadlineMs: 2_000 });
  });

  it.each<[string, Record<string, string>, string]>([
    ['a trail without a key', { AUDIT: 'stdout' }, 'AUDIT_KEY'],
    ['a key that is too short', { ...FILE, AUDIT_KEY: 'canary-short' }, 'AUDIT_KEY'],
    ['a file that is not named', { AUDIT: 'file', AUDIT_KEY: KEY }, 'AUDIT_FILE'],
    ['an unknown sink', { ...FILE, AUDIT: 'syslog' }, 'AUDIT'],
    ['an unknown durability', { ...FILE, AUDIT_DURABILITY: 'always' }, 'AUDIT_DURABILITY'],
    ['a size of nothing', { ...FILE, AUDIT_FILE_MAX_MIB: '0' }, 'AUDIT_FILE_MAX_MIB'],
    ['an age of nothing', { ...FILE, AUDIT_FILE_MAX_HOURS: '0' }, 'AUDIT_FILE_MAX_HOURS'],
    ['a negative number of files', { ...FILE, AUDIT_FILES_KEPT: '-1' }, 'AUDIT_FILES_KEPT'],
    ['a deadline that nothing meets', { ...FILE, AUDIT_DEADLINE_MS: '1' }, 'AUDIT_DEADLINE_MS'],
  ])('refuse %s by its name, and never by its value', (_what, env, name) => {
    const problems = problemsOf(env);
    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name}\\b`))]);
    expect(problems.join()).not.toContain('canary');
  });
});
