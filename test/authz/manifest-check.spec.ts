import { checkManifest, type ManifestFinding } from '../../src/authz/manifest-check';
import { manifestText } from '../support/manifest-config-map';

/** What is wrong, as `line:column severity rule`, with the fix. */
const shown = ({ line, column, severity, rule, fix }: ManifestFinding) =>
  `${line}:${column} ${severity} ${rule}${fix === undefined ? '' : ` -> ${fix}`}`;
const found = (text: string, isInConfigMap = false) => checkManifest(text, isInConfigMap).findings.map(shown);
const messages = (text: string) => checkManifest(text, false).findings.map(({ message }) => message);

describe('the check of a manifest', () => {
  it('finds nothing in one that states grants on workspaces of its own', () => {
    const text = manifestText('notes', ['ListSecret?workspace=notes', 'RetrieveSecret?workspace=notes-desk']);
    expect(checkManifest(text, true)).toMatchObject({
      app: 'notes',
      grants: [
        { operation: 'ListSecret', workspace: 'notes', line: 9, column: 11, endLine: 9, endColumn: 39 },
        { operation: 'RetrieveSecret', workspace: 'notes-desk', line: 10 },
      ],
      findings: [],
    });
  });

  it.each([
    ['ListSecrets?workspace=notes', 'ListSecret?workspace=notes'],
    ['listsecret', 'ListSecret'],
    ['GetSecret?workspace=notes', 'RetrieveSecret?workspace=notes'],
    ['RetriveSecret', 'RetrieveSecret'],
    ['ListSecret?workspace=notes&env=dev', 'ListSecret?workspace=notes'],
    ['ListSecret?env=dev&Workspace=notes', 'ListSecret?workspace=notes'],
    ['ListSecret?workspace=%6eotes', 'ListSecret?workspace=notes'],
    ['ListSecret:workspace=notes', 'ListSecret?workspace=notes'],
    ['removesecret', 'DeleteSecret'],
    ['ReadSecret', 'RetrieveSecret'],
    ['AddSecret?workspace=a%2Fb', undefined],
    [' ListSecret ', 'ListSecret'],
    ['ListSecret?workspace=notes\u00a0', 'ListSecret?workspace=notes'],
    ['UpdSecret', 'UpdateSecret'],
    ['UpSecret', undefined],
    ['All', undefined],
    ['ListSecret?workspace=', undefined],
    ['ListSecret?workspace=a&workspace=b', undefined],
    ['ListSecret?env=dev', undefined],
    ['ListSecret?workspace=%zz', undefined],
    [`${'x'.repeat(300)}Secret`, undefined],
  ])('says of %s what it should be, where that can be told: %s', (op, fix) => {
    const at = '9:11 error grants-nothing';
    expect(found(manifestText('notes', [op]))).toEqual([fix === undefined ? at : `${at} -> ${fix}`]);
  });

  it('says nothing to write in place of a block scalar, whose place includes its line end, nor a list of what are no operations', () => {
    const withOps = (ops: string) =>
      manifestText('notes', ['ListSecret']).replace(/ops:[^]*"ListSecret"/, ops);
    const [retrieve, bare] = ['retrievesecret?workspace=notes', 'ListSecret'];
    expect(found(withOps(`ops:\n        - |\n          ${retrieve}\n`))).toEqual([
      '9:11 error grants-nothing',
    ]);
    expect(found(withOps(`ops:\n        - |-\n          ${bare}\n`))).toEqual([
      expect.not.stringContaining('->'),
    ]);
    const text = manifestText('notes', ['ListSecret?workspace=notes']);
    for (const group of ['secret.infiscal', 'Secret.Infisical'])
      expect(found(text.replace('secret.infisical', `|-\n          ${group}`))).toEqual([
        expect.not.stringContaining('->'),
      ]);
    expect(found(withOps('ops: All'))).toEqual([expect.not.stringContaining('->')]);
    expect(found(withOps('ops: ListSecret'))).toEqual([expect.stringMatching(/-> \[ListSecret\]$/)]);
  });

  it('says what the parser of the service says', () => {
    expect(messages(manifestText('notes', ['All']))).toEqual([
      'op "All": the operation is none of RetrieveSecret, CreateSecret, UpdateSecret, DeleteSecret, ListSecret',
    ]);
    expect(messages('a: [')).toEqual([expect.stringMatching(/^not valid YAML: /)]);
    expect(checkManifest('a: [', false)).not.toHaveProperty('app');
  });

  it('says which field of an entry is wrong, and nothing of entries of other providers', () => {
    const text = manifestText('notes', ['ListSecret?workspace=notes']);
    expect(found(text.replace('v1', 'v2'))).toEqual(['7:16 error grants-nothing -> v1']);
    expect(found(text.replace('dataType: secret\n', 'dataType: Secret\n'))).toEqual([
      '5:17 error grants-nothing -> secret',
    ]);
    expect(found(text.replace('secret.infisical', 'Secret.Infisical'))).toEqual([
      '6:14 error grants-nothing -> secret.infisical',
    ]);
    expect(found(text.replace('secret.infisical', 'secret.infiscal'))).toEqual([
      '6:14 warning unknown-group -> secret.infisical',
    ]);
    expect(found(text.replace('secret.infisical', 'secret.infisical\u00a0'))).toEqual([
      '6:14 error grants-nothing -> secret.infisical',
    ]);
    expect(found(text.replace('secret.infisical', '" SECRET.infisic "'))).toEqual([
      '6:14 warning unknown-group -> secret.infisical',
    ]);
    for (const other of ['service.search', 'secret.infis', '7', 'x'.repeat(33), '[secret.infiscal]'])
      expect(found(text.replace('secret.infisical', other))).toEqual([]);
    expect(found(text.replace(/ops:[^]*/, 'ops: ListSecret\n'))).toEqual([
      '8:12 error grants-nothing -> [ListSecret]',
    ]);
  });

  it('reports in the order of the file', () => {
    const ops = ['All', 'ListSecret', 'ListSecret?workspace=mail', 'ListSecret?workspace=notes', 'None'];
    expect(found(manifestText('notes', ops)).map((line) => line.split(' ')[0])).toEqual([
      '9:11',
      '10:11',
      '11:11',
      '12:11',
      '13:11',
    ]);
  });

  it('warns of a grant that is stated twice, and notes an op without a workspace', () => {
    expect(found(manifestText('notes', ['ListSecret', 'ListSecret?workspace=notes']))).toEqual([
      '9:11 note bare-op -> ListSecret?workspace=notes',
      '10:11 warning stated-twice',
    ]);
    expect(messages(manifestText('notes', ['ListSecret', 'ListSecret?workspace=notes']))).toEqual([
      'ListSecret names no workspace, so it is granted on notes',
      'ListSecret?workspace=notes is stated in line 9 already',
    ]);
  });

  it('tells once of each workspace that is not of the app’s own, as a warning where the manifest is in a ConfigMap', () => {
    const ops = [
      'ListSecret?workspace=mail',
      'RetrieveSecret?workspace=mail',
      'ListSecret?workspace=settings',
    ];
    const text = manifestText('notes', ops);
    expect(found(text)).toEqual(['9:11 note needs-approval', '11:11 warning system-workspace']);
    expect(found(text, true)).toEqual(['9:11 warning needs-approval', '11:11 warning system-workspace']);
    expect(messages(text)).toEqual([
      'workspace mail is not of the app’s own (notes, notes-…); on Olares 1.12.1 and later the user must approve ListSecret, RetrieveSecret',
      'workspace settings belongs to components of Olares; on Olares 1.12.1 and later the user must approve ListSecret',
    ]);
  });

  it('names line and column of a refusal, whatever stands before it', () => {
    const text = manifestText('notes', ['ListSecret']).replace('v1', '{{ .Values.v }}');
    expect(found(text)).toEqual(['7:16 error refused']);
    expect(found(`\ufeff${text.replaceAll('\n', '\r\n')}`)).toEqual(['7:16 error refused']);
    expect(found('a: [')).toEqual(['1:5 error refused']);
  });
});
