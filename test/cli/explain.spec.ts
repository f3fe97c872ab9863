import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explainByManifest } from '../../src/authz/manifest-explanation';
import { manifestText } from '../support/manifest-config-map';
import { builtCommand } from './built-command';

/** The built command, as an app's developer runs it. */
describe('explain', () => {
  const dir = mkdtempSync(join(tmpdir(), 'explain-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return name;
  };
  const explain = (...args: readonly string[]) => builtCommand(['explain', ...args], { cwd: dir });
  const asked = (manifest: string, op: string, workspace: string) => [
    ...['--manifest', manifest, '--op', op],
    ...['--workspace', workspace],
  ];
  const ops = ['RetrieveSecret?workspace=desk', 'ListSecret', 'ListSecrets?workspace=desk'];
  const manifest = file('OlaresManifest.yaml', manifestText('notes', ops));

  it('names the line that grants an operation', () => {
    expect(explain(...asked(manifest, 'RetrieveSecret', 'desk'))).toEqual({
      status: 0,
      stdout: 'ALLOWED  App notes states RetrieveSecret?workspace=desk.\n  stated at OlaresManifest.yaml:9\n',
      stderr: '',
    });
  });

  it('prints what the manifest would need, and which lines grant nothing', () => {
    const { status, stdout } = explain(...asked(manifest, 'ListSecret', 'desk'));
    expect([status, stdout]).toEqual([
      1,
      'DENIED  App notes has no grant for ListSecret on workspace desk; its OlaresManifest.yaml would need ' +
        '"ListSecret?workspace=desk" under permission.sysData (dataType secret, group secret.infisical, version v1).\n' +
        '  OlaresManifest.yaml:11: op "ListSecrets?workspace=desk": the operation is none of ' +
        'RetrieveSecret, CreateSecret, UpdateSecret, DeleteSecret, ListSecret\n' +
        'The manifest would need:\n\npermission:\n  sysData:\n    - dataType: secret\n      group: secret.infisical\n' +
        '      version: v1\n      ops:\n        - ListSecret?workspace=desk\n',
    ]);
  });

  it('answers as the service does, with --json', () => {
    const { status, stdout } = explain(...asked(manifest, 'RetrieveSecret', 'desk'), '--json');
    const text = manifestText('notes', ops);
    const explained = explainByManifest(
      { path: manifest, text, isInConfigMap: false },
      'RetrieveSecret',
      'desk',
    );
    expect([status, JSON.parse(stdout)]).toEqual([0, explained]);
  });

  it('tells with --config-map that an approval is needed outside of the workspaces of the app', () => {
    const foreign = explain(...asked(manifest, 'RetrieveSecret', 'desk'), '--config-map', '--json');
    expect([foreign.status, JSON.parse(foreign.stdout).decidedBy]).toEqual([1, 'pending_approval']);
    const own = explain(...asked(manifest, 'ListSecret', 'notes'), '--config-map', '--json');
    expect([own.status, JSON.parse(own.stdout).decidedBy]).toEqual([0, 'grant']);
  });

  it('names the line for which a manifest is refused', () => {
    const refused = file('refused.yaml', manifestText('notes', ops).replace('v1', '{{ .Values.v }}'));
    const { status, stdout } = explain(...asked(refused, 'ListSecret', 'desk'));
    expect([status, stdout]).toEqual([
      1,
      'REFUSED  refused.yaml:7: the permission block contains a template directive\nThe manifest grants nothing.\n',
    ]);
  });

  it.each([
    ['no arguments', []],
    ['an operation that is none', asked('OlaresManifest.yaml', 'All', 'desk')],
    ['a broken workspace', asked('OlaresManifest.yaml', 'ListSecret', '../desk')],
    ['an option that is none', [...asked('OlaresManifest.yaml', 'ListSecret', 'desk'), '--all']],
  ])('exits with 2 for %s', (_, args) => {
    expect(explain(...args)).toMatchObject({ status: 2, stdout: '' });
  });

  it('exits with 3 for a file that is not there, and for a folder', () => {
    expect(explain(...asked('.', 'ListSecret', 'desk'))).toEqual({
      status: 3,
      stdout: '',
      stderr: 'olares-secrets: . cannot be used: EISDIR.\n',
    });
    expect(explain(...asked('missing.yaml', 'ListSecret', 'desk'))).toEqual({
      status: 3,
      stdout: '',
      stderr: 'olares-secrets: missing.yaml cannot be used: ENOENT.\n',
    });
  });
});
