import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { CheckedManifest } from '../../src/authz/manifest-check';
import { sarifOf } from '../../src/cli/files/manifest-sarif';
import { grantKey } from '../../src/authz/grant';
import { manifestText } from '../support/manifest-config-map';
import { PUBLISHED_MANIFESTS, PUBLISHED_MANIFESTS_FOLDER } from '../support/published-manifests';
import { builtCommand } from './built-command';
import { sarifFaults } from './sarif-schema';

type JsonReport = { readonly files: readonly (CheckedManifest & { readonly file: string })[] };

/** The built command, as an app's developer runs it. */
describe('check-manifest', () => {
  const dir = mkdtempSync(join(tmpdir(), 'check-manifest-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const file = (name: string, text: string): string => {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
    return name;
  };
  const check = (...args: readonly string[]) => builtCommand(['check-manifest', ...args], { cwd: dir });
  const reportOf = (stdout: string) => JSON.parse(stdout) as JsonReport;

  describe('over the published manifests', () => {
    const { status, stdout } = check('--json', PUBLISHED_MANIFESTS_FOLDER);
    const { files } = reportOf(stdout);

    it('exits with 1, since some of them are refused', () => {
      expect(status).toBe(1);
      expect(files).toHaveLength(Object.keys(PUBLISHED_MANIFESTS).length);
    });

    it.each(Object.entries(PUBLISHED_MANIFESTS))('gives the verdict on %s', (name, expected) => {
      const checked = files.find((one) => one.file === join(PUBLISHED_MANIFESTS_FOLDER, `${name}.yaml`));
      if ('refused' in expected)
        return expect(checked).toMatchObject({
          grants: [],
          findings: [{ rule: 'refused', severity: 'error', line: expected.line, message: expected.refused }],
        });
      const grants = checked?.grants.map(({ operation, workspace }) => grantKey(operation, workspace));
      expect({ app: checked?.app, grants }).toEqual(expected);
      const rules = checked?.findings.map(({ severity, rule }) => `${severity} ${rule}`);
      expect(rules).toEqual(name === 'otmoiclp' ? ['note needs-approval'] : []);
    });
  });

  it('prints grants and findings on standard output, and their number beside it', () => {
    const name = file('own.yaml', manifestText('notes', ['ListSecret?workspace=notes', 'Listsecret']));
    expect(check(name)).toEqual({
      status: 1,
      stdout:
        'own.yaml: notes on notes: ListSecret\n' +
        'own.yaml:10:11: error: op "Listsecret": the operation is none of RetrieveSecret, CreateSecret, ' +
        'UpdateSecret, DeleteSecret, ListSecret\n    write: ListSecret\n',
      stderr: '1 manifest, 1 grant, 1 error, 0 warnings.\n',
    });
  });

  it('lets no manifest write lines of its own, or characters that a terminal obeys', () => {
    const text = manifestText('notes', []).replace('ops: []', 'ops: ["a\\n::error::b\\u009b2J"]');
    const name = file('lines.yaml', text);
    expect(check(name).stdout).toContain('op "a\\n::error::b\ufffd2J": ');
    for (const form of ['--json', '--sarif']) expect(check(form, name).stdout).not.toContain('\u009b');
  });

  it('counts warnings as errors with --strict alone, and takes a manifest from standard input', () => {
    const input = manifestText('notes', ['ListSecret?workspace=notes', 'ListSecret?workspace=notes']);
    const checked = (...args: readonly string[]) => builtCommand(['check-manifest', ...args, '-'], { input });
    expect(checked()).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('stdin:10:11: warning: ListSecret?workspace=notes is stated in line 9'),
    });
    expect(checked('--strict').status).toBe(1);
  });

  it('takes the manifests below a folder, without translations, and says that a file is too large or no text', () => {
    const text = manifestText('notes', ['ListSecret?workspace=notes']);
    file('apps/notes/OlaresManifest.yaml', text);
    file('apps/notes/Chart.yaml', 'a: 1\n');
    file('apps/notes/i18n/zh-CN/OlaresManifest.yaml', 'metadata: {title: 笔记}\n');
    file('apps/large/OlaresManifest.yaml', text + '#'.repeat(64 * 1024));
    writeFileSync(join(dir, file('apps/bytes/OlaresManifest.yaml', '')), Buffer.from([0xff]));
    const { status, stdout } = check('--json', 'apps');
    const verdicts = reportOf(stdout).files.map(({ file: path, app, findings }) => [
      path,
      app ?? findings[0]?.message,
    ]);
    expect([status, verdicts]).toEqual([
      1,
      [
        ['apps/bytes/OlaresManifest.yaml', 'not UTF-8 text'],
        ['apps/large/OlaresManifest.yaml', 'larger than 65536 bytes'],
        ['apps/notes/OlaresManifest.yaml', 'notes'],
      ],
    ]);
  });

  it('follows no link to a folder, and reads of the templates only what is a file', () => {
    cpSync(resolve(__dirname, '../../examples/charts/notes'), join(dir, 'linked/notes'), { recursive: true });
    mkdirSync(join(dir, 'linked/notes/templates/folder.yaml'));
    symlinkSync('/dev/zero', join(dir, 'linked/notes/templates/endless.yaml'));
    symlinkSync('..', join(dir, 'linked/notes/upwards'));
    const { status, stdout } = check('--config-map', '--json', 'linked');
    expect([status, reportOf(stdout).files.map((one) => one.file)]).toEqual([
      0,
      ['linked/notes/OlaresManifest.yaml'],
    ]);
  });

  it('asks with --config-map for the ConfigMap in the chart', () => {
    cpSync(resolve(__dirname, '../../examples/charts/notes'), join(dir, 'chart'), { recursive: true });
    const rules = () => {
      const { status, stdout } = check('--config-map', '--json', 'chart');
      return [status, ...(reportOf(stdout).files[0]?.findings.map(({ rule }) => rule) ?? [])];
    };
    const others = ['bare-op', 'bare-op', 'bare-op', 'needs-approval'];
    expect(rules()).toEqual([0, ...others]);
    file('chart/templates/olares-manifest.yaml', 'labels: { secrets.olares.com/manifest: true }\n');
    expect(rules()).toEqual([1, 'no-config-map', ...others]);
    rmSync(join(dir, 'chart/templates'), { recursive: true });
    expect(rules()).toEqual([1, 'no-config-map', ...others]);
  });

  it('prints SARIF in which a manifest writes no links', () => {
    file('links/OlaresManifest.yaml', manifestText('notes', ['[x](https://example.com)']));
    const { results } = JSON.parse(check('--sarif', 'links').stdout).runs[0];
    expect(results[0].message.text).toContain('\\[x\\](https://example.com)');
  });

  it('prints SARIF that has the structure of the standard', () => {
    file('a b/OlaresManifest.yaml', manifestText('notes', ['ListSecrets']));
    const { status, stdout } = check('--sarif', 'a b', PUBLISHED_MANIFESTS_FOLDER);
    const log = JSON.parse(stdout);
    expect(status).toBe(1);
    expect(sarifFaults(log)).toEqual([]);
    expect(log.runs[0].results).toHaveLength(5);
    expect(log.runs[0].results[0]).toMatchObject({
      ruleId: 'grants-nothing',
      level: 'error',
      locations: [
        { physicalLocation: { artifactLocation: { uri: 'a%20b/OlaresManifest.yaml' }, region: { startLine: 9, startColumn: 11, endColumn: 24 } } },
      ],
      fixes: [{ artifactChanges: [{ replacements: [{ insertedContent: { text: 'ListSecret' } }] }] }],
    }); // prettier-ignore
    expect(sarifFaults({ ...log, version: '2.0.0' })).not.toEqual([]);
    expect(sarifFaults(sarifOf([], '1.0.0'))).toEqual([]);
  });

  it('is not used rightly without files, with two forms of output, or for a folder without manifests', () => {
    mkdirSync(join(dir, 'empty'));
    expect(check()).toMatchObject({ status: 2, stdout: '' });
    expect(check('--json', '--sarif', 'own.yaml')).toMatchObject({ status: 2, stdout: '' });
    expect(check('empty')).toMatchObject({ status: 2, stdout: '' });
    expect(check('missing.yaml')).toEqual({ status: 3, stdout: '', stderr: 'olares-secrets: missing.yaml is not there.\n' }); // prettier-ignore
  });
});
