import { parseManifest } from '../../src/authz/manifest';
import { grantKey } from '../../src/authz/grant';

const METADATA = 'metadata:\n  name: notes\n';
const ENTRY = [
  '  sysData:',
  '  - dataType: secret',
  '    group: secret.infisical',
  '    version: v1',
  '    ops:',
  '    - ListSecret?workspace=desk',
  '',
].join('\n');
const PERMISSION = `permission:\n${ENTRY}`;
const GRANT = 'ListSecret?workspace=desk';
/** White space to JavaScript, and not to YAML: a `#` behind it begins no comment. */
const ODD_SPACES = ['\u00a0', '\ufeff', '\u1680', '\u2003', '\u2028', '\u202f', '\u205f', '\u3000'];
const FLOW_ENTRY =
  '{dataType: secret, group: secret.infisical, version: v1, ops: [ListSecret, DeleteSecret?workspace=other]}';

function read(text: string): string[] | { line: number; refused: string } {
  const parsed = parseManifest(text);
  if ('refused' in parsed) return parsed;
  return parsed.grants.map(({ operation, workspace }) => grantKey(operation, workspace));
}
const refusal = (line: number, reason: string) => ({ line, refused: expect.stringContaining(reason) });

describe('a manifest is taken', () => {
  it.each<[string, string]>([
    ['as it is written', `${METADATA}${PERMISSION}`],
    [
      'with what looks like the end of a line in a text that is not read',
      `${METADATA}spec:\n  text: |\n    one\u2028permission: two\n  more: '{{ .Values.x }}'\n${PERMISSION}`,
    ],
    ['without a line end', `${METADATA}${PERMISSION}`.trimEnd()],
    ['with CRLF', `${METADATA}${PERMISSION}`.replaceAll('\n', '\r\n')],
    ['with a byte order mark', `\ufeff${METADATA}${PERMISSION}`],
    ['behind a document start', `---\n${METADATA}${PERMISSION}`],
    ['with the permission first', `${PERMISSION}${METADATA}`],
    ['with comments', `# a\n${METADATA}# b\n${PERMISSION.replace('sysData:', 'sysData: # c')}  # d\n# e\n`],
    ['with quotes', `metadata: {"name": 'notes'}\n${PERMISSION.replace(GRANT, `"${GRANT}"`)}`],
    [
      'with the entry in flow style',
      `${METADATA}permission:\n  sysData: [{dataType: secret, group: secret.infisical, version: v1, ops: ["${GRANT}"]}]\n`,
    ],
    [
      'with the whole permission in flow style',
      `${METADATA}permission: {sysData: [{dataType: secret, group: secret.infisical, version: v1, ops: ["${GRANT}"]}]}\n`,
    ],
    ['with anchors elsewhere', `a: &a x\nb: *a\n${METADATA}${PERMISSION}`],
    ['with a key stated twice elsewhere', `${METADATA}spec: 1\nspec: 2\n${PERMISSION}`],
    [
      'with keys named like prototypes',
      `__proto__: {permission: 1}\n${METADATA}${PERMISSION}constructor: 1\n`,
    ],
  ])('%s', (_, text) => {
    expect(read(text)).toEqual([GRANT]);
  });

  it.each<[string, string]>([
    ['a value', 'spec:\n  version: {{ .Values.version }}\n'],
    ['a quoted value', 'spec:\n  version: "{{ .Values.version | default "1" }}"\n'],
    ['text in a block scalar', 'spec:\n  text: |\n    Use {{ .Release.Name }}.\n'],
    [
      'lines at column 0',
      'spec:\n{{- if .a }}\n  b: 1\n{{- else if .c }}\n  b: 2\n{{- else }}\n  b: 3\n{{- end }}\n  d: 4\n',
    ],
    [
      'branches that are no YAML side by side',
      'spec:\n  a:\n{{- if .a }}\n    b: 1\n{{- else }}\n  - c\n{{- end }}\n',
    ],
    ['a whole entry', '{{- if .a }}\nenvs:\n- a\n{{- end }}\n'],
    ['two versions of an entry', '{{ if .a }}\nenvs: 1\n{{ else }}\nenvs: 2\n{{ end }}\n'],
    ['an output line', 'spec:\n  a:\n{{ toYaml .Values.a | indent 4 }}\n'],
    ['ranges in a line', 'spec:\n  a: [{{ range .a }}"{{ . }}",{{ end }}]\n'],
    ['nested directives', 'spec:\n{{ if .a }}\n  {{- with .b }}\n  a: {{ . }}\n  {{- end }}\n{{ end }}\n'],
    ['a directive over several lines', 'spec:\n  a: {{ default\n    "x" .a }}\n'],
    [
      'braces in strings and comments',
      'spec:\n  a: {{ "}}" }}{{ `{{ if }}` }}{{/* {{ if }} }} */}}{{- /* x */ -}}\n  b: 1\n',
    ],
    ['variables', '{{- $x := .Values.x }}\nspec:\n  a: {{ $x }}\n'],
    ['an entry that is only templated', 'spec: {{ .Values.spec }}\n'],
  ])('with %s templated before, behind or around the blocks that are read', (_, templated) => {
    expect(read(`${templated}${METADATA}${PERMISSION}`)).toEqual([GRANT]);
    expect(read(`${METADATA}${templated}${PERMISSION}`)).toEqual([GRANT]);
    expect(read(`${METADATA}${PERMISSION}${templated}`)).toEqual([GRANT]);
    expect(read(`${PERMISSION}\n# more\n${templated}${METADATA}`)).toEqual([GRANT]);
  });

  it.each<[string, string]>([
    ['a value', 'metadata:\n  title: {{ .x }}\n  name: notes\n  version: {{ .y }}\n'],
    [
      'a condition behind the name',
      'metadata:\n  name: notes\n{{- if .a }}\n  title: a\n{{- else }}\n  title: b\n{{- end }}\n',
    ],
    ['a condition before the name', 'metadata:\n{{- if .a }}\n  title: a\n{{- end }}\n  name: notes\n'],
    ['a document start and a variable', '---\n{{- $x := 1 }}\nmetadata:\n  name: notes\n'],
  ])('with %s templated in the metadata', (_, metadata) => {
    expect(read(`${metadata}${PERMISSION}`)).toEqual([GRANT]);
  });

  it.each<[string, string]>([
    ['no permission', ''],
    ['an empty permission', 'permission:\n'],
    ['a permission without sysData', 'permission:\n  appData: true\n'],
    ['an empty sysData', 'permission:\n  sysData:\n'],
    ['a commented permission', PERMISSION.replace(/^/gm, '# ')],
    ['a permission inside a template comment', `{{/*\n${PERMISSION}*/}}\n`],
    ['a permission inside a template string', `spec: 1\n{{ \`\n${PERMISSION}\` }}\n`],
    ['a nested permission', `spec:\n  ${PERMISSION.replaceAll('\n', '\n  ')}\n`],
    ['a permission in a block scalar', `spec: |\n  ${PERMISSION.replaceAll('\n', '\n  ')}\n`],
    ['a permission in a folded scalar', `spec:\n  a: >-\n    ${PERMISSION.replaceAll('\n', '\n    ')}\n`],
    ['a permission in a list', `spec:\n- ${PERMISSION.replaceAll('\n', '\n  ')}\n`],
    [
      'a permission in metadata',
      `spec: {permission: {sysData: [{dataType: secret, group: secret.infisical, version: v1, ops: [${GRANT}]}]}}\n`,
    ],
    ['a key that only starts alike', PERMISSION.replace('permission', 'permissions')],
    ['a key in other letters', PERMISSION.replace('permission', 'Permission')],
    ['a nested sysData', `permission:\n  provider:\n${ENTRY.replace(/^(?=.)/gm, '  ')}`],
    ['a permission that is only in __proto__', `__proto__:\n  ${PERMISSION.replaceAll('\n', '\n  ')}\n`],
    ['sysData that is only in __proto__', `permission:\n  __proto__:\n  ${ENTRY.replaceAll('\n', '\n  ')}\n`],
    [
      'an entry that is only in __proto__',
      'permission:\n  sysData:\n  - __proto__: {dataType: secret, group: secret.infisical, version: v1, ops: [ListSecret]}\n',
    ],
  ])('with %s, and grants nothing', (_, permission) => {
    expect(read(`${METADATA}${permission}`)).toEqual([]);
  });

  it('tells the line of each op, of one that is stated twice the first', () => {
    const text = `${METADATA}${PERMISSION}    - All\n    - [x]\n    - ListSecret?workspace=desk\n`;
    expect(parseManifest(text)).toEqual({
      app: 'notes',
      serviceAccount: 'default',
      grants: [
        { operation: 'ListSecret', workspace: 'desk' },
        { operation: 'ListSecret', workspace: 'desk' },
      ],
      lines: new Map([['ListSecret?workspace=desk', 9]]),
      warnings: [
        { line: 10, reason: expect.stringContaining('op "All"') },
        { line: 11, reason: 'an op must be text' },
      ],
    });
  });
});

describe('a manifest is refused, with the line,', () => {
  it.each<[string, number, string, string]>([
    [
      'a condition around the permission',
      3,
      'conditional',
      `${METADATA}{{ if .a }}\n${PERMISSION}{{ end }}\n`,
    ],
    [
      'a condition around the permission, trimmed',
      3,
      'conditional',
      `${METADATA}{{- if .a }}\n${PERMISSION}{{- end }}\n`,
    ],
    [
      'a condition far before it',
      1,
      'conditional',
      `{{ if .a }}\n${METADATA}spec:\n  a: 1\n${PERMISSION}{{ end }}\n`,
    ],
    ['a condition in a comment', 3, 'conditional', `${METADATA}# {{ if .a }}\n${PERMISSION}# {{ end }}\n`],
    [
      'a condition in a block scalar',
      5,
      'conditional',
      `${METADATA}spec:\n  a: |\n    {{ if .a }}\n${PERMISSION}b: {{ end }}\n`,
    ],
    [
      'an else branch',
      3,
      'conditional',
      `${METADATA}{{ if .a }}\nspec: 1\n{{ else }}\n${PERMISSION}{{ end }}\n`,
    ],
    ['a range', 3, 'conditional', `${METADATA}{{ range .a }}\n${PERMISSION}{{ end }}\n`],
    ['a with', 3, 'conditional', `${METADATA}{{ with .a }}\n${PERMISSION}{{ end }}\n`],
    ['a definition', 3, 'conditional', `${METADATA}{{ define "a" }}\n${PERMISSION}{{ end }}\n`],
    [
      'a condition that starts on the line of the key',
      3,
      'not a plain top-level key',
      `${METADATA}permission:{{ if .a }}\n  appData: true\n{{ end }}\n${ENTRY}`,
    ],
    [
      'a condition inside',
      4,
      'contains a template directive',
      `${METADATA}permission:\n{{ if .a }}\n${ENTRY}{{ end }}\n  appData: true\n`,
    ],
    [
      'a condition inside, open to the end',
      4,
      'contains a template directive',
      `${METADATA}permission:\n{{ if .a }}\n${ENTRY}{{ end }}\n`,
    ],
    [
      'a templated op',
      9,
      'contains a template directive',
      `${METADATA}${PERMISSION.replace('desk', '{{ .Values.w }}')}`,
    ],
    [
      'a conditional op',
      10,
      'contains a template directive',
      `${METADATA}${PERMISSION}{{- if .a }}\n    - All\n{{- end }}\n`,
    ],
    ...['\u2028permission: y', '\u2029metadata: y', '\u2028foo: y'].map(
      (hidden): [string, number, string, string] => [
        `a conditional op behind ${JSON.stringify(hidden)}`,
        11,
        'contains a template directive',
        `${METADATA}permission:\n  appData: true # x${hidden}\n${ENTRY}{{ if .a }}\n    - DeleteSecret?workspace=desk\n{{ end }}\n`,
      ],
    ),
    ...ODD_SPACES.flatMap((space) =>
      [
        `  sysData: [\n    ${space}#{{ if .Values.a }}, ${FLOW_ENTRY}, ${space}#{{ end }} ]\n`,
        `  sysData: [${FLOW_ENTRY.replace('[', `[\n  ${space}#{{ if .Values.a }}, `)}, ${space}#{{ end }} ]\n`,
        `  sysData: [${FLOW_ENTRY}]\n  ${space}#{{ .Values.a }}: 1\n`,
      ].map((permission): [string, number, string, string] => [
        `a directive behind ${JSON.stringify(`${space}#`)}`,
        5,
        'the permission block contains a template directive',
        `${METADATA}permission:\n${permission}`,
      ]),
    ),
    ['an include inside', 10, 'could continue it', `${METADATA}${PERMISSION}{{ include "a" . }}\n`],
    ['an include that glues', 10, 'could continue it', `${METADATA}${PERMISSION}{{- include "a" . }}\n`],
    [
      'an include in a branch behind',
      11,
      'could continue it',
      `${METADATA}${PERMISSION}{{ if .a }}\n{{ include "a" . }}\n{{ end }}\n`,
    ],
    ['a template call', 11, 'could continue it', `${METADATA}${PERMISSION}\n{{ template "a" . }}\nspec: 1\n`],
    [
      'a block call',
      10,
      'could continue it',
      `${METADATA}${PERMISSION}{{ block "a" . }}{{ end }}\nspec: 1\n`,
    ],
    [
      'an else branch that continues it',
      12,
      'could continue it',
      `${METADATA}${PERMISSION}{{ if .a }}\nspec: 1\n{{ else }}\n  sysData: []\n{{ end }}\n`,
    ],
    [
      'an else branch that continues it behind a comment',
      12,
      'could continue it',
      `${METADATA}${PERMISSION}{{ if .a }}\nspec: 1\n{{ else }}\n# a\n  sysData: []\n{{ end }}\n`,
    ],
    [
      'text glued by a condition',
      12,
      'could continue it',
      `${METADATA}${PERMISSION}{{- if .a }}\nspec:\n {{- end }}-evil: 1\n`,
    ],
    [
      'text glued by a condition at column 0',
      12,
      'shares a line',
      `${METADATA}${PERMISSION}{{- if .a }}\nspec: 1\n{{- end }}-evil: 1\n`,
    ],
    [
      'text glued by an empty condition',
      10,
      'shares a line',
      `${METADATA}${PERMISSION}{{- if .a }}{{ end }}-evil\n`,
    ],
    [
      'text glued by a comment',
      10,
      'could continue it',
      `${METADATA}${PERMISSION}{{- /* a */ -}}\nspec: 1\n`,
    ],
    [
      'a comment that becomes text',
      11,
      'could continue it',
      `${METADATA}${PERMISSION}{{- if .a }}\n{{ end -}}\n# c\n{{ if .b }}\nspec: 1\n{{ end }}\n`,
    ],
    ['a line end eaten before it', 4, 'joins it', `${METADATA}spec:\n  a: {{ .b -}}\n${PERMISSION}`],
    [
      'a line end eaten before it by an end',
      5,
      'joins it',
      `${METADATA}spec:\n{{ if .a }}\n{{ end -}}\n${PERMISSION}`,
    ],
    ['a directive before the key', 3, 'shares a line', `${METADATA}{{ .a }}${PERMISSION}`],
    ['a conditional key', 3, 'shares a line', `${METADATA}{{ if .a }}permission: {}{{ end }}\n`],
    ['a templated key', 3, 'not a plain top-level key', `${METADATA}perm{{ .a }}: 1\n${PERMISSION}`],
    ['an else without an if', 3, 'without an {{ if }}', `${METADATA}{{ else }}\n${PERMISSION}`],
    ['an end without an if', 3, 'without an {{ if }}', `${METADATA}{{ end }}\n${PERMISSION}`],
    ['an if without an end', 10, 'without its {{ end }}', `${METADATA}${PERMISSION}{{ if .a }}\nspec: 1\n`],
    ['a directive without an end', 11, 'never closed', `${METADATA}${PERMISSION}spec:\n  a: {{ .b\n`],
    ['a comment without an end', 3, 'never closed', `${METADATA}{{/* a }}\n${PERMISSION}`],
    ['a string without an end', 4, 'never closed', `${METADATA}spec:\n  a: {{ "b }}\n${PERMISSION}`],
    ['too many directives', 10, 'more than 200', `${METADATA}${PERMISSION}# ${'{{ .a }}'.repeat(201)}\n`],
    [
      'too many tokens',
      2001,
      'more than 10000 YAML tokens',
      `${METADATA}${PERMISSION}${'a: b\n'.repeat(2100)}`,
    ],
    [
      'too many tokens of a block with a directive',
      1611,
      'more than 10000 YAML tokens',
      `${METADATA}a:\n{{ .a }}\n${'  b: c\n'.repeat(4000)}`,
    ],
    [
      'too many tokens of many such blocks',
      962,
      'more than 10000 YAML tokens',
      `${METADATA}${`a:\n{{ .a }}\n${'  - [a, b]\n'.repeat(9)}`.repeat(150)}`,
    ],
    [
      'too many ops',
      3,
      'permission.sysData states more than 1000 ops',
      `${METADATA}${PERMISSION}${'    - ListSecret\n'.repeat(1000)}`,
    ],
  ])('for %s', (_, line, reason, text) => {
    expect(read(text)).toEqual(refusal(line, reason));
  });

  it.each<[string, number, string, string]>([
    ['no metadata', 1, 'metadata.name is missing', PERMISSION],
    ['no name', 1, 'metadata.name is missing', `metadata:\n  title: notes\n${PERMISSION}`],
    ['metadata that is no mapping', 1, 'metadata.name is missing', `metadata: notes\n${PERMISSION}`],
    ['a name that is no text', 2, 'must be text', `metadata:\n  name: 12\n${PERMISSION}`],
    ['an empty name', 2, 'must be text', `metadata:\n  name:\n${PERMISSION}`],
    ['a name that is not sane', 2, 'must be 1-253 letters', `metadata:\n  name: ../notes\n${PERMISSION}`],
    [
      'a name over two lines',
      2,
      'must be 1-253 letters',
      `metadata:\n  name: notes\n    more\n${PERMISSION}`,
    ],
    ['two names', 3, 'stated twice', `metadata:\n  name: notes\n  name: mail\n${PERMISSION}`],
    ['two metadata', 3, 'stated twice', `${METADATA}metadata:\n  name: mail\n${PERMISSION}`],
    ['a tagged name', 2, 'a YAML tag', `metadata:\n  name: !!str notes\n${PERMISSION}`],
    ['a name that is an alias', 3, 'a YAML alias', `a: &a notes\nmetadata:\n  name: *a\n${PERMISSION}`],
    [
      'metadata that is an alias',
      2,
      'metadata.name is missing',
      `a: &a {name: notes}\nmetadata: *a\n${PERMISSION}`,
    ],
    [
      'metadata that is merged',
      2,
      'metadata.name is missing',
      `a: &a {name: notes}\nmetadata:\n  <<: *a\n${PERMISSION}`,
    ],
    [
      'a templated name',
      2,
      'contains a template directive',
      `metadata:\n  name: {{ .Release.Name }}\n${PERMISSION}`,
    ],
    [
      'a name with a templated part',
      2,
      'contains a template directive',
      `metadata:\n  name: notes{{ .a }}\n${PERMISSION}`,
    ],
    [
      'a conditional name',
      2,
      'conditional',
      `metadata:\n{{ if .a }}\n  name: notes\n{{ end }}\n${PERMISSION}`,
    ],
    [
      'a name with an alternative',
      5,
      'stated twice',
      `metadata:\n{{ if .a }}\n  name: a\n{{ else }}\n  name: b\n{{ end }}\n${PERMISSION}`,
    ],
    ['conditional metadata', 1, 'conditional', `{{ if .a }}\n${METADATA}{{ end }}\n${PERMISSION}`],
    [
      'metadata under a condition that ends before the name',
      1,
      'conditional',
      `{{ if .a }}\nmetadata:\n{{ end }}\n  name: notes\n${PERMISSION}`,
    ],
    [
      'a name that an include could continue',
      3,
      'could continue it',
      `metadata:\n  name: notes\n  {{ .a }}\n${PERMISSION}`,
    ],
    [
      'a name that a branch could continue',
      5,
      'could continue it',
      `metadata:\n  name: notes\n  {{ if .a }}\n  title: a\n  {{ else }}\n    more\n  {{ end }}\n${PERMISSION}`,
    ],
    [
      'a name glued to the line above',
      2,
      'joins it',
      `metadata:\n  title: {{ .a -}}\n  name: notes\n${PERMISSION}`,
    ],
  ])('for %s', (_, line, reason, text) => {
    expect(read(text)).toEqual(refusal(line, reason));
  });

  it.each<[string, number, string, string]>([
    ['two permissions', 10, 'stated twice', `${METADATA}${PERMISSION}permission:\n  appData: true\n`],
    ['two permissions, the first empty', 4, 'stated twice', `${METADATA}permission: {}\n${PERMISSION}`],
    ['two permissions, one in quotes', 10, 'stated twice', `${METADATA}${PERMISSION}"permission": {}\n`],
    [
      'two permissions, one conditional',
      11,
      'stated twice',
      `${METADATA}${PERMISSION}{{ if .a }}\npermission: {}\n{{ end }}\n`,
    ],
    ['a permission in quotes', 3, 'plain key', `${METADATA}"permission":\n${ENTRY}`],
    ['a permission behind a question mark', 3, 'plain key', `${METADATA}? permission\n:\n${ENTRY}`],
    ['an anchored permission key', 3, 'plain key', `${METADATA}&a permission:\n${ENTRY}`],
    [
      'a permission that is indented with everything',
      1,
      'plain key',
      `${METADATA}${PERMISSION}`.replace(/^(?=.)/gm, '  '),
    ],
    ['two sysData', 10, 'stated twice', `${METADATA}${PERMISSION}  sysData: []\n`],
    ['two ops', 10, 'stated twice', `${METADATA}${PERMISSION}    ops: []\n`],
    [
      'two versions',
      8,
      'stated twice',
      `${METADATA}${PERMISSION.replace('    version: v1\n', '    version: v2\n    version: v1\n')}`,
    ],
    [
      'an anchor in the permission',
      5,
      'a YAML anchor',
      `${METADATA}${PERMISSION.replace('sysData:', 'sysData: &a')}`,
    ],
    ['an alias for the permission', 4, 'a YAML alias', `a: &a {sysData: []}\n${METADATA}permission: *a\n`],
    [
      'an alias for the ops',
      9,
      'a YAML alias',
      `a: &a [ListSecret]\n${METADATA}${PERMISSION.replace(/ops:\n.*\n/, 'ops: *a\n')}`.replace(/$/, ''),
    ],
    [
      'an alias for an op',
      10,
      'a YAML alias',
      `a: &a ListSecret\n${METADATA}${PERMISSION.replace(GRANT, '*a')}`,
    ],
    [
      'a merge key in the permission',
      5,
      'a YAML merge key',
      `a: &a {sysData: []}\n${METADATA}permission:\n  <<: *a\n`,
    ],
    [
      'a merge key in an entry',
      11,
      'a YAML merge key',
      `a: &a {version: v1}\n${METADATA}${PERMISSION}    <<: *a\n`,
    ],
    ['a tag in the permission', 9, 'a YAML tag', `${METADATA}${PERMISSION.replace(GRANT, `!!str ${GRANT}`)}`],
    [
      'a custom tag in the permission',
      9,
      'a YAML tag',
      `${METADATA}${PERMISSION.replace(GRANT, `!a ${GRANT}`)}`,
    ],
    ['a tagged mapping', 4, 'a YAML tag', `${METADATA}permission: !!map\n${ENTRY}`],
    ['a key that is no text', 4, 'a key that is not text', `${METADATA}permission:\n  [a]: 1\n`],
    ['a permission that is a list', 3, 'must be a mapping', `${METADATA}permission:\n- sysData\n`],
    ['a permission that is text', 3, 'must be a mapping', `${METADATA}permission: all\n`],
    ['tabs', 4, 'not valid YAML', `${METADATA}permission:\n\tsysData: []\n`],
    ['tabs inside', 5, 'not valid YAML', `${METADATA}${PERMISSION.replace('  - dataType', '\t- dataType')}`],
    ['a second document', 3, 'not valid YAML', `${METADATA}---\n${PERMISSION}`],
    ['a document behind', 10, 'not valid YAML', `${METADATA}${PERMISSION}---\na: 1\n`],
    ['a permission behind the end', 4, 'not valid YAML', `${METADATA}...\n${PERMISSION}`],
    ['a file that is one block scalar', 1, 'block mapping', `--- |\n${METADATA}${PERMISSION}`],
    ['a file that is one quoted text', 1, 'block mapping', `"\n${METADATA}${PERMISSION}"`],
    ['a file in flow style', 1, 'block mapping', `{metadata: {name: notes}, permission: {sysData: []}}`],
    ['a list', 1, 'block mapping', '- a\n'],
    ['no text', 1, 'block mapping', ''],
    ['a quote that swallows the permission', 3, 'not valid YAML', `${METADATA}spec: "\n${PERMISSION}b: "\n`],
    [
      'a templated quote that swallows the permission',
      4,
      'not valid YAML',
      `${METADATA}spec: "{{ .a }}\n${PERMISSION}b: {{ .a }}"\n`,
    ],
    [
      'a templated bracket that swallows the permission',
      4,
      'not valid YAML',
      `${METADATA}spec: [{{ .a }},\n${PERMISSION}b: {{ .a }} ]\n`,
    ],
    ['a bracket that is open', 4, 'not valid YAML', `${METADATA}spec: [a,\n${PERMISSION}`],
    ['a carriage return alone', 3, 'control character', `${METADATA}spec: a\rb: 1\n${PERMISSION}`],
    ['a NUL', 3, 'control character', `${METADATA}spec: a\u0000\n${PERMISSION}`],
    ['the mask in the text', 3, 'control character', `${METADATA}spec: \u0001\n${PERMISSION}`],
    ['brackets without end', 1, '', `${METADATA}spec: ${'['.repeat(100_000)}\n${PERMISSION}`],
  ])('for %s', (_, line, reason, text) => {
    const parsed = read(text);
    if (reason === '') return expect(parsed).toHaveProperty('refused');
    expect(parsed).toEqual(refusal(line, reason));
  });
});

describe('the reason of a refusal', () => {
  it.each([
    ['a header of a block scalar', 'a: |canary\n', 'Block scalar header includes extra characters'],
    ['an unexpected token', 'a: 1\n]canary', 'Unexpected flow-seq-end token in YAML stream'],
    ['an unknown tag', 'a: !canary!b c\n', 'a tag that means nothing here'],
    ['a tag without an end', 'a: !canary! c\n', 'a tag that means nothing here'],
    ['a wrong version of YAML', '%YAML canary\n---\n', 'a directive that means nothing here'],
    ['a wrong escape', 'a: "\\Ucanary12"\n', 'an escape sequence that means nothing here'],
    ['a missing comma', 'a: {"b" "canary"}\n', 'Missing , or : between flow map items'],
  ])('repeats no text of the manifest where that has %s', (_, text, reason) => {
    expect(parseManifest(`${text}${METADATA}`)).toHaveProperty('refused', `not valid YAML: ${reason}`);
  });
});

describe('what a manifest says besides its grants', () => {
  it.each([
    ['notes-sa', 'notes-sa'],
    ['notes.v2', 'notes.v2'],
    ['s'.repeat(253), 's'.repeat(253)],
    ['s'.repeat(254), 'default'],
    ['-notes', 'default'],
    ['notes-', 'default'],
    ['Notes', 'default'],
    ['[notes]', 'default'],
    ['7', 'default'],
    ['""', 'default'],
  ])('is its ServiceAccount: of %s it is %s', (stated, serviceAccount) => {
    const text = `${METADATA}${PERMISSION}  serviceAccount: ${stated}\n`;
    expect(parseManifest(text)).toMatchObject({ app: 'notes', serviceAccount });
  });

  it('is nothing where it states no permission', () => {
    const nothing = { app: 'notes', grants: [], lines: new Map(), warnings: [], serviceAccount: 'default' };
    for (const text of [METADATA, `${METADATA}permission:\n`, `${METADATA}permission: ~\n`])
      expect(parseManifest(text)).toEqual(nothing);
  });
});

describe('what stands behind a block of a manifest', () => {
  it.each([
    ['a comment for the template at the very end', `${METADATA}${PERMISSION}{{/* end */}}`],
    ['one that trims what follows, at the very end', `${METADATA}${PERMISSION}{{- /* end */ -}}`],
    ['two of them with blank lines between', `${METADATA}${PERMISSION}{{- /* a */ -}}\n\n{{/* b */}}\nspec: 1\n`],
    ['a template call before everything, the name last and without a line end', `{{ template "a" . }}\n${PERMISSION}${METADATA}`.trimEnd()],
  ])('may be %s', (_title, text) => expect(read(text)).toEqual([GRANT])); // prettier-ignore

  it('may not be a call behind an indented comment', () => {
    expect(read(`${METADATA}${PERMISSION}  # more\n{{ include "a" . }}\n`)).toEqual(refusal(11, 'could continue it'));
  }); // prettier-ignore
});
